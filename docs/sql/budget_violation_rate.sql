-- How many of 100 tasks of the last 30 days came to the end of a budget.
SELECT round(100.0 * count(DISTINCT CASE WHEN e.error_type = 'BudgetExceededError' THEN e.task_id END)
                   / count(DISTINCT r.task_id), 2) AS budget_violation_pct
  FROM execution_results AS r
  LEFT JOIN task_errors AS e ON r.task_id = e.task_id
 WHERE r.created_at >= datetime('now', '-30 days');
