-- How often budgets were exceeded in the last 24 hours.
SELECT count(*) AS violations
  FROM task_errors
 WHERE error_type = 'BudgetExceededError'
   AND occurred_at >= datetime('now', '-24 hours');
