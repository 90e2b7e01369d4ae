DROP TABLE idempotency_keys, audit_events, events, usage_ranges, tagged, tags, actions, reservations, servers, ssh_keys;
DROP SEQUENCE sightings;
DROP EXTENSION btree_gist;
