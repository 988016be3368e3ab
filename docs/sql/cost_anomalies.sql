-- Tasks of the last 30 days that cost more than three times what a task of their agent costs on average.
--
-- The query that this stands for compares `cli_name` with itself, so that its average is over all agents, and one that
-- is always dear hides the task of another that went astray.
WITH runs AS MATERIALIZED (SELECT task_id, cli_name, cost, created_at FROM execution_results),
     usual AS (SELECT cli_name, avg(cost) AS cost FROM runs GROUP BY cli_name)
SELECT runs.task_id, runs.cli_name, runs.cost
  FROM runs JOIN usual USING (cli_name)
 WHERE runs.cost > 3 * usual.cost
   AND runs.created_at >= datetime('now', '-30 days')
 ORDER BY runs.cost DESC;
