DROP TABLE operator_audit, operator_tokens;
