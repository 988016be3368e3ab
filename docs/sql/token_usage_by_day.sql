-- What tasks read, by day in UTC and by agent, over the last 7 days.
--
-- The query that this stands for takes the length of an output, times 4, for input tokens. This one has the input
-- tokens that providers counted, caches included.
SELECT date(created_at) AS date,
       cli_name,
       count(*) AS tasks,
       avg(input_tokens) AS avg_input_tokens
  FROM execution_results
 WHERE created_at >= datetime('now', '-7 days')
 GROUP BY date(created_at), cli_name
 ORDER BY date DESC, cli_name;
