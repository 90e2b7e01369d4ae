-- Workflows: one row each, leased by workers; progress by step name; alerts.

-- Fencing tokens: every lease gets a new one, and every commit of a worker names the one it was made under.
CREATE SEQUENCE workflow_leases AS bigint;

CREATE TABLE workflows (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    -- What it is about, as the product words it. Opaque here.
    subject          text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    team_id          uuid,
    parent_id        uuid REFERENCES workflows CHECK (parent_id <> id),
    input            jsonb NOT NULL,
    -- A lifecycle rests when made and is unmade by a wish; anything else is an action, which completes.
    lifecycle        boolean NOT NULL,
    -- Keeps other exclusive workflows off its subject while it is being made.
    exclusive        boolean NOT NULL,

    state            text NOT NULL DEFAULT 'ready'
        CHECK (state IN ('ready', 'resting', 'completed', 'undone', 'refused', 'cancelled', 'parked')),
    direction        text NOT NULL DEFAULT 'make' CHECK (direction IN ('make', 'unmake')),
    -- The step that is next. The name is what counts: a release may insert or reorder steps.
    step             integer NOT NULL DEFAULT 0 CHECK (step >= 0),
    step_name        text,
    attempt          integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    faults           integer NOT NULL DEFAULT 0 CHECK (faults >= 0),
    task             text,
    task_progress    text,
    waiting_for      text,
    last_error       text,
    refusal          jsonb,
    wishes           text[] NOT NULL DEFAULT '{}',

    -- When it may run next; of a leased one, when the lease ends.
    wake_at          timestamptz,
    -- Counts wake-ups, so that a nap can tell that it was overtaken by one.
    wake_version     bigint NOT NULL DEFAULT 0,
    lease_token      bigint,
    lease_until      timestamptz,
    worker           text,

    unmade_within    interval NOT NULL,
    deadline_at      timestamptz,
    deadline_alerted boolean NOT NULL DEFAULT false,

    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    made_at          timestamptz,
    finished_at      timestamptz,

    CONSTRAINT only_the_ready_wake    CHECK ((state = 'ready') = (wake_at IS NOT NULL)),
    CONSTRAINT only_the_ready_leased  CHECK (lease_token IS NULL OR state = 'ready'),
    CONSTRAINT lease_is_whole         CHECK ((lease_token IS NULL) = (lease_until IS NULL)
                                         AND (lease_token IS NULL) = (worker IS NULL)),
    CONSTRAINT lifecycles_rest        CHECK (state <> 'resting' OR (lifecycle AND direction = 'make')),
    CONSTRAINT actions_complete       CHECK (state <> 'completed' OR (NOT lifecycle AND direction = 'make')),
    CONSTRAINT lifecycles_are_undone  CHECK (state <> 'undone' OR (lifecycle AND direction = 'unmake')),
    CONSTRAINT actions_are_refused    CHECK (state <> 'refused' OR (NOT lifecycle AND refusal IS NOT NULL)),
    CONSTRAINT actions_are_cancelled  CHECK (state <> 'cancelled' OR NOT lifecycle),
    CONSTRAINT parked_for_a_reason    CHECK (state <> 'parked' OR last_error IS NOT NULL),
    CONSTRAINT ended_at_a_time        CHECK ((state IN ('completed', 'undone', 'refused', 'cancelled'))
                                           = (finished_at IS NOT NULL)),
    CONSTRAINT progress_of_a_task     CHECK (task IS NOT NULL OR task_progress IS NULL)
) WITH (fillfactor = 70);  -- room for the many small updates of a row beside it

-- What a worker asks for; and when it has to ask again.
CREATE INDEX workflows_due ON workflows (wake_at, id) WHERE state = 'ready';
CREATE INDEX workflows_late ON workflows (deadline_at) WHERE state = 'ready' AND NOT deadline_alerted;
CREATE INDEX workflows_parked ON workflows (id) WHERE state = 'parked';
CREATE INDEX workflows_by_parent ON workflows (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX workflows_by_subject ON workflows (subject, id);
-- One exclusive workflow per subject. What is being unmade does not count: deleting is always possible.
CREATE UNIQUE INDEX workflows_one_exclusive ON workflows (subject)
    WHERE exclusive AND state IN ('ready', 'parked') AND direction = 'make' AND NOT ('unmake' = ANY (wishes));

-- What each step came to: progress for the engine, and the record that its tenant reads.
CREATE TABLE workflow_steps (
    workflow_id uuid NOT NULL REFERENCES workflows ON DELETE CASCADE,
    direction   text NOT NULL CHECK (direction IN ('make', 'unmake')),
    name        text NOT NULL,
    -- The place in the list of the release that wrote it; for display.
    step_index  integer NOT NULL CHECK (step_index >= 0),
    state       text NOT NULL CHECK (state IN ('running', 'done', 'refused')),
    attempts    integer NOT NULL CHECK (attempts >= 0),
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    memo        jsonb,
    waiting_for text,
    last_error  text,
    PRIMARY KEY (workflow_id, direction, name),
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK (state = 'done' OR memo IS NULL)
);

-- What an operator has to look at. At most one open per kind and subject.
CREATE TABLE alerts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL,
    message     text NOT NULL,
    raised_at   timestamptz NOT NULL,
    resolved_at timestamptz,
    CHECK (resolved_at IS NULL OR resolved_at >= raised_at)
);
CREATE UNIQUE INDEX alerts_open ON alerts (subject, kind) WHERE resolved_at IS NULL;

ALTER TABLE workflows      ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts         ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON workflows FOR ALL TO cairn_api USING (team_id = current_team());
CREATE POLICY tenant ON workflow_steps FOR SELECT TO cairn_api
    USING (EXISTS (SELECT FROM workflows w WHERE w.id = workflow_id AND w.team_id = current_team()));
-- A tenant may ask, look, wish and wake. The internal error is not theirs to read, progress not theirs to write.
GRANT SELECT (id, kind, subject, team_id, parent_id, input, lifecycle, exclusive, state, direction, step, step_name,
              attempt, faults, task, task_progress, waiting_for, refusal, wishes, wake_at, wake_version, lease_until,
              unmade_within, deadline_at, deadline_alerted, created_at, started_at, made_at, finished_at)
    ON workflows TO cairn_api;
GRANT INSERT (id, kind, subject, team_id, parent_id, input, lifecycle, exclusive, wake_at, unmade_within, deadline_at,
              created_at)
    ON workflows TO cairn_api;
GRANT UPDATE (wishes, state, wake_at, wake_version, deadline_at, deadline_alerted) ON workflows TO cairn_api;
GRANT SELECT (workflow_id, direction, name, step_index, state, attempts, started_at, finished_at, waiting_for)
    ON workflow_steps TO cairn_api;
