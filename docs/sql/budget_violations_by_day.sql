-- How often budgets were exceeded, by day in UTC. The averages are of limits that count tokens; dollars have none.
SELECT date(occurred_at) AS date,
       count(*) AS violations,
       avg(error_details ->> 'tokens_used') AS avg_tokens_used,
       avg(error_details ->> 'token_limit') AS avg_token_limit
  FROM task_errors
 WHERE error_type = 'BudgetExceededError'
 GROUP BY date(occurred_at)
 ORDER BY date DESC;
