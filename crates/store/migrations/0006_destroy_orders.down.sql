DROP TABLE destroy_orders;
