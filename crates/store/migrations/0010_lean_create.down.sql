ALTER TABLE workflows DROP COLUMN reach;
ALTER TABLE workflow_steps DROP CONSTRAINT sound;
DROP FUNCTION workflow_step_is_sound(workflow_steps);
ALTER TABLE workflow_steps
    ADD CONSTRAINT workflow_steps_direction_check CHECK (direction IN ('make', 'unmake')),
    ADD CONSTRAINT workflow_steps_step_index_check CHECK (step_index >= 0),
    ADD CONSTRAINT workflow_steps_state_check CHECK (state IN ('running', 'done', 'refused')),
    ADD CONSTRAINT workflow_steps_attempts_check CHECK (attempts >= 0),
    ADD CONSTRAINT workflow_steps_check CHECK ((state = 'running') = (finished_at IS NULL)),
    ADD CONSTRAINT workflow_steps_check1 CHECK (state = 'done' OR memo IS NULL);

ALTER TABLE workflows DROP CONSTRAINT sound;
DROP FUNCTION workflow_is_sound(workflows);
ALTER TABLE workflows
    ADD CONSTRAINT workflows_kind_check CHECK (length(kind) BETWEEN 1 AND 63),
    ADD CONSTRAINT workflows_subject_check CHECK (length(subject) BETWEEN 1 AND 255),
    ADD CONSTRAINT workflows_check CHECK (parent_id <> id),
    ADD CONSTRAINT workflows_state_check
        CHECK (state IN ('ready', 'resting', 'completed', 'undone', 'refused', 'cancelled', 'parked')),
    ADD CONSTRAINT workflows_direction_check CHECK (direction IN ('make', 'unmake')),
    ADD CONSTRAINT workflows_step_check CHECK (step >= 0),
    ADD CONSTRAINT workflows_attempt_check CHECK (attempt >= 0),
    ADD CONSTRAINT workflows_faults_check CHECK (faults >= 0),
    ADD CONSTRAINT only_the_ready_wake    CHECK ((state = 'ready') = (wake_at IS NOT NULL)),
    ADD CONSTRAINT only_the_ready_leased  CHECK (lease_token IS NULL OR state = 'ready'),
    ADD CONSTRAINT lease_is_whole         CHECK ((lease_token IS NULL) = (lease_until IS NULL)
                                             AND (lease_token IS NULL) = (worker IS NULL)),
    ADD CONSTRAINT lifecycles_rest        CHECK (state <> 'resting' OR (lifecycle AND direction = 'make')),
    ADD CONSTRAINT actions_complete       CHECK (state <> 'completed' OR (NOT lifecycle AND direction = 'make')),
    ADD CONSTRAINT lifecycles_are_undone  CHECK (state <> 'undone' OR (lifecycle AND direction = 'unmake')),
    ADD CONSTRAINT actions_are_refused    CHECK (state <> 'refused' OR (NOT lifecycle AND refusal IS NOT NULL)),
    ADD CONSTRAINT actions_are_cancelled  CHECK (state <> 'cancelled' OR NOT lifecycle),
    ADD CONSTRAINT parked_for_a_reason    CHECK (state <> 'parked' OR last_error IS NOT NULL),
    ADD CONSTRAINT ended_at_a_time        CHECK ((state IN ('completed', 'undone', 'refused', 'cancelled'))
                                               = (finished_at IS NOT NULL)),
    ADD CONSTRAINT progress_of_a_task     CHECK (task IS NOT NULL OR task_progress IS NULL);

DROP INDEX reservations_by_team;
CREATE INDEX reservations_by_team ON reservations (team_id) INCLUDE (vcpus, memory_mib, disk_gb);
ALTER TABLE servers      ADD CONSTRAINT servers_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams,
                         ADD CONSTRAINT servers_size_fkey FOREIGN KEY (size) REFERENCES sizes,
                         ADD CONSTRAINT servers_image_id_fkey FOREIGN KEY (image_id) REFERENCES images;
ALTER TABLE usage_ranges ADD CONSTRAINT usage_ranges_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams;
ALTER TABLE addresses    ADD CONSTRAINT addresses_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams;
ALTER TABLE audit_events ADD CONSTRAINT audit_events_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams,
                         ADD CONSTRAINT audit_events_token_id_fkey FOREIGN KEY (token_id) REFERENCES tokens;
ALTER TABLE events       ADD CONSTRAINT events_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams;
ALTER TABLE actions      ADD CONSTRAINT actions_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams,
                         ADD CONSTRAINT actions_region_fkey FOREIGN KEY (region) REFERENCES regions;
ALTER TABLE reservations ADD CONSTRAINT reservations_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams;
DROP FUNCTION claim_and_lock(uuid, integer[], uuid[]);
DROP FUNCTION claim_addresses(uuid, integer[], uuid[]);
DROP FUNCTION extend_pool(uuid);
