DROP TABLE alerts, workflow_steps, workflows;
DROP SEQUENCE workflow_leases;
