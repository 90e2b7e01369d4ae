-- What a create costs, made less: one round trip claims every address and locks the quota, and what is written beside a
-- server no longer asks again for what the server's own row has proved.

-- Turns the next batch of the pool's range into rows. False: the range is used up. Whoever waits here for the pool's lock
-- finds the batch that the other one made, and claims from it.
CREATE FUNCTION extend_pool(pool uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    WITH old AS (
        SELECT id, next, last FROM address_pools WHERE id = pool FOR NO KEY UPDATE
    ), moved AS (
        UPDATE address_pools p SET next = least(old.next + 256, old.last + 1) FROM old
        WHERE p.id = old.id AND old.next <= old.last
        RETURNING old.next AS first, p.next AS past
    ), made AS (
        INSERT INTO addresses (pool_id, address)
        SELECT pool, first + n FROM moved, generate_series(0, (past - first) - 1) AS n
        RETURNING 1
    )
    SELECT count(*) > 0 FROM made
$$;

-- One address of each pool for each server that has none of it yet. How many could not be had.
CREATE FUNCTION claim_addresses(team uuid, asking integer[], pools uuid[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    pool uuid;
    one integer;
    missing bigint := 0;
BEGIN
    FOREACH pool IN ARRAY pools LOOP
        FOREACH one IN ARRAY asking LOOP
            CONTINUE WHEN EXISTS (SELECT FROM addresses a WHERE a.server_id = one AND a.pool_id = pool);
            LOOP
                UPDATE addresses a SET server_id = one, team_id = team, claimed_at = now()
                WHERE a.ctid = (SELECT f.ctid FROM addresses f WHERE f.pool_id = pool AND f.server_id IS NULL
                                ORDER BY f.address LIMIT 1 FOR UPDATE SKIP LOCKED);
                EXIT WHEN FOUND;
                IF NOT extend_pool(pool) THEN
                    missing := missing + 1;
                    EXIT;
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN missing;
END $$;

-- Both in one round trip, the lock last: the team's other creates wait for it.
CREATE FUNCTION claim_and_lock(team uuid, asking integer[], pools uuid[]) RETURNS TABLE (
    missing bigint, servers integer, vcpus integer, memory_mib bigint, disk_gb bigint, snapshots integer,
    ssh_keys integer, used_servers bigint, used_vcpus bigint, used_memory_mib bigint, used_disk_gb bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wanting bigint := claim_addresses(team, asking, pools);
BEGIN
    RETURN QUERY SELECT wanting, q.* FROM lock_quota() q;
END $$;

-- These rows are written in the transaction that writes the server (or keeps it locked), under row-level security that
-- compares the team with the caller's. Asking `teams`, `regions` and `tokens` again for each of them locked the same few
-- rows once more for every row, and made concurrent requests share those locks.
ALTER TABLE reservations DROP CONSTRAINT reservations_team_id_fkey;
ALTER TABLE actions      DROP CONSTRAINT actions_team_id_fkey, DROP CONSTRAINT actions_region_fkey;
ALTER TABLE events       DROP CONSTRAINT events_team_id_fkey;
ALTER TABLE audit_events DROP CONSTRAINT audit_events_team_id_fkey, DROP CONSTRAINT audit_events_token_id_fkey;
ALTER TABLE addresses    DROP CONSTRAINT addresses_team_id_fkey;
ALTER TABLE usage_ranges DROP CONSTRAINT usage_ranges_team_id_fkey;
-- Teams, sizes and images are closed, withdrawn or marked as deleted; their rows stay. (Regions and VPCs do go.)
ALTER TABLE servers      DROP CONSTRAINT servers_team_id_fkey, DROP CONSTRAINT servers_size_fkey,
                         DROP CONSTRAINT servers_image_id_fkey;

-- What the quota sums, and nothing else.
DROP INDEX reservations_by_team;
CREATE INDEX reservations_by_team ON reservations (team_id) INCLUDE (vcpus, memory_mib, disk_gb) WHERE purpose = 'home';

-- PostgreSQL reads the text of every CHECK again for every statement that writes the table; twenty of them were three
-- quarters of the price of a workflow's row. A function is compiled once for a connection. It says which rule was broken,
-- by the name that the rule had.
ALTER TABLE workflows
    DROP CONSTRAINT workflows_kind_check, DROP CONSTRAINT workflows_subject_check, DROP CONSTRAINT workflows_check,
    DROP CONSTRAINT workflows_state_check, DROP CONSTRAINT workflows_direction_check,
    DROP CONSTRAINT workflows_step_check, DROP CONSTRAINT workflows_attempt_check,
    DROP CONSTRAINT workflows_faults_check,
    DROP CONSTRAINT only_the_ready_wake, DROP CONSTRAINT only_the_ready_leased, DROP CONSTRAINT lease_is_whole,
    DROP CONSTRAINT lifecycles_rest, DROP CONSTRAINT actions_complete, DROP CONSTRAINT lifecycles_are_undone,
    DROP CONSTRAINT actions_are_refused, DROP CONSTRAINT actions_are_cancelled, DROP CONSTRAINT parked_for_a_reason,
    DROP CONSTRAINT ended_at_a_time, DROP CONSTRAINT progress_of_a_task;

CREATE FUNCTION workflow_is_sound(w workflows) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    broken text;
BEGIN
    broken := CASE
        WHEN NOT length(w.kind) BETWEEN 1 AND 63 THEN 'workflows_kind_check'
        WHEN NOT length(w.subject) BETWEEN 1 AND 255 THEN 'workflows_subject_check'
        WHEN w.parent_id = w.id THEN 'workflows_check'
        WHEN w.state NOT IN ('ready', 'resting', 'completed', 'undone', 'refused', 'cancelled', 'parked')
            THEN 'workflows_state_check'
        WHEN w.direction NOT IN ('make', 'unmake') THEN 'workflows_direction_check'
        WHEN w.step < 0 THEN 'workflows_step_check'
        WHEN w.attempt < 0 THEN 'workflows_attempt_check'
        WHEN w.faults < 0 THEN 'workflows_faults_check'
        WHEN (w.state = 'ready') <> (w.wake_at IS NOT NULL) THEN 'only_the_ready_wake'
        WHEN w.lease_token IS NOT NULL AND w.state <> 'ready' THEN 'only_the_ready_leased'
        WHEN (w.lease_token IS NULL) <> (w.lease_until IS NULL) OR (w.lease_token IS NULL) <> (w.worker IS NULL)
            THEN 'lease_is_whole'
        WHEN w.state = 'resting' AND NOT (w.lifecycle AND w.direction = 'make') THEN 'lifecycles_rest'
        WHEN w.state = 'completed' AND NOT (NOT w.lifecycle AND w.direction = 'make') THEN 'actions_complete'
        WHEN w.state = 'undone' AND NOT (w.lifecycle AND w.direction = 'unmake') THEN 'lifecycles_are_undone'
        WHEN w.state = 'refused' AND (w.lifecycle OR w.refusal IS NULL) THEN 'actions_are_refused'
        WHEN w.state = 'cancelled' AND w.lifecycle THEN 'actions_are_cancelled'
        WHEN w.state = 'parked' AND w.last_error IS NULL THEN 'parked_for_a_reason'
        WHEN (w.state IN ('completed', 'undone', 'refused', 'cancelled')) <> (w.finished_at IS NOT NULL)
            THEN 'ended_at_a_time'
        WHEN w.task IS NULL AND w.task_progress IS NOT NULL THEN 'progress_of_a_task'
    END;
    IF broken IS NULL THEN RETURN true; END IF;
    RAISE check_violation USING TABLE = 'workflows', CONSTRAINT = broken,
        MESSAGE = format('workflow %s would break the rule "%s"', w.id, broken);
END $$;
ALTER TABLE workflows ADD CONSTRAINT sound CHECK (workflow_is_sound(workflows));

ALTER TABLE workflow_steps
    DROP CONSTRAINT workflow_steps_direction_check, DROP CONSTRAINT workflow_steps_step_index_check,
    DROP CONSTRAINT workflow_steps_state_check, DROP CONSTRAINT workflow_steps_attempts_check,
    DROP CONSTRAINT workflow_steps_check, DROP CONSTRAINT workflow_steps_check1;

CREATE FUNCTION workflow_step_is_sound(s workflow_steps) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    broken text;
BEGIN
    broken := CASE
        WHEN s.direction NOT IN ('make', 'unmake') THEN 'workflow_steps_direction_check'
        WHEN s.step_index < 0 THEN 'workflow_steps_step_index_check'
        WHEN s.state NOT IN ('running', 'done', 'refused') THEN 'workflow_steps_state_check'
        WHEN s.attempts < 0 THEN 'workflow_steps_attempts_check'
        WHEN (s.state = 'running') <> (s.finished_at IS NULL) THEN 'workflow_steps_check'
        WHEN s.state <> 'done' AND s.memo IS NOT NULL THEN 'workflow_steps_check1'
    END;
    IF broken IS NULL THEN RETURN true; END IF;
    RAISE check_violation USING TABLE = 'workflow_steps', CONSTRAINT = broken,
        MESSAGE = format('step %s of workflow %s would break the rule "%s"', s.name, s.workflow_id, broken);
END $$;
ALTER TABLE workflow_steps ADD CONSTRAINT sound CHECK (workflow_step_is_sound(workflow_steps));

-- The furthest step that may have begun when the next commit comes: the ends of light steps are written down with later
-- ones, and unmaking has to know how far making may have got.
ALTER TABLE workflows ADD COLUMN reach text;
