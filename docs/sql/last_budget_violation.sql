-- The last time a task came to the end of its budget.
SELECT error_type, error_message, error_details ->> 'tokens_used' AS tokens
  FROM task_errors
 WHERE error_type = 'BudgetExceededError'
 ORDER BY occurred_at DESC
 LIMIT 1;
