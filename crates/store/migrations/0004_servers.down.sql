DROP TABLE glances, idempotency_keys, audit_events, events, usage_ranges, tagged, tags, actions, reservations, servers, ssh_keys;
DROP FUNCTION lock_quota();
DROP FUNCTION place_server(integer, uuid);
DROP FUNCTION write_tag_as_first();
DROP COLLATION any_case;
DROP FUNCTION number_event();
DROP SEQUENCE event_numbers;
DROP SEQUENCE sightings;
DROP EXTENSION btree_gist;
