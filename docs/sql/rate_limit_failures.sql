-- How many of 100 calls of the last 30 days ended with a provider's 429.
SELECT round(100.0 * (SELECT count(*) FROM task_errors
                       WHERE error_type = 'RateLimitError' AND occurred_at >= datetime('now', '-30 days'))
                   / sum(calls), 2) AS rate_limit_failure_pct
  FROM usage_minutes
 WHERE minute >= unixepoch('now', '-30 days') / 60;
