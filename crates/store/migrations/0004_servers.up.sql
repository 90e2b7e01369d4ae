-- Servers, keys, actions, tags, and what is kept about them: reservations, usage, events, audit, idempotency.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE ssh_keys (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id     uuid NOT NULL REFERENCES teams,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    public_key  text NOT NULL,
    fingerprint text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (team_id, fingerprint)
);

CREATE TABLE servers (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id     uuid NOT NULL REFERENCES teams,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    region      text NOT NULL REFERENCES regions,
    size        text NOT NULL REFERENCES sizes,
    image_id    integer NOT NULL REFERENCES images,
    vpc_id      uuid NOT NULL REFERENCES vpcs,
    -- Fixed when the size is chosen: a later change of the catalogue does not change a server.
    vcpus       integer NOT NULL CHECK (vcpus > 0),
    memory_mib  integer NOT NULL CHECK (memory_mib > 0),
    disk_gb     integer NOT NULL CHECK (disk_gb > 0),
    public_keys text[] NOT NULL DEFAULT '{}',
    user_data   text CHECK (length(user_data) <= 65536),
    backups     boolean NOT NULL DEFAULT false,
    backup_policy jsonb,
    ipv6        boolean NOT NULL DEFAULT false,
    monitoring  boolean NOT NULL DEFAULT false,
    public_networking boolean NOT NULL DEFAULT true,

    -- What is wanted. Written by requests and by the workflows that carry them out.
    wanted_power text NOT NULL DEFAULT 'on' CHECK (wanted_power IN ('on', 'off')),

    -- Where it stands. Written by the placement step under the host's lock.
    host_id     uuid REFERENCES hosts,
    -- The first boot was answered; from here on nothing is ever unwound by itself.
    answered_at timestamptz,

    -- What was last seen. Written by the observer alone, in the order of its generation numbers.
    seen_power      text CHECK (seen_power IN ('on', 'off')),
    seen_ssh_host   text,
    seen_ssh_port   integer CHECK (seen_ssh_port BETWEEN 1 AND 65535),
    seen_generation bigint NOT NULL DEFAULT 0,
    seen_at         timestamptz,

    -- The workflow that makes it and, walked backwards, deletes it.
    workflow_id uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Deletion was asked for: no longer listed, still being taken down.
    destroy_requested_at timestamptz,
    deleted_at  timestamptz
);
CREATE INDEX servers_by_team ON servers (team_id, id) WHERE deleted_at IS NULL;
CREATE INDEX servers_by_host ON servers (host_id) WHERE deleted_at IS NULL;
CREATE INDEX servers_by_name ON servers (team_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX servers_by_workflow ON servers (workflow_id);
CREATE SEQUENCE sightings AS bigint;

-- What is reserved: by team for quotas, by host for placement. Always summed, never counted.
CREATE TABLE reservations (
    server_id  integer PRIMARY KEY,
    team_id    uuid NOT NULL REFERENCES teams,
    host_id    uuid REFERENCES hosts,
    vcpus      integer NOT NULL CHECK (vcpus > 0),
    memory_mib integer NOT NULL CHECK (memory_mib > 0),
    disk_gb    integer NOT NULL CHECK (disk_gb > 0)
);
CREATE INDEX reservations_by_team ON reservations (team_id) INCLUDE (vcpus, memory_mib, disk_gb);
CREATE INDEX reservations_by_host ON reservations (host_id) INCLUDE (vcpus, memory_mib, disk_gb);

-- One thing that was asked for. Its progress is the workflow's, so it has no status of its own.
CREATE TABLE actions (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id       uuid NOT NULL REFERENCES teams,
    workflow_id   uuid NOT NULL,
    -- 'make' or 'unmake' where one workflow serves two actions (create and destroy).
    direction     text NOT NULL DEFAULT 'make' CHECK (direction IN ('make', 'unmake')),
    kind          text NOT NULL,
    resource_type text NOT NULL CHECK (resource_type IN ('droplet', 'image')),
    resource_id   integer NOT NULL,
    region        text REFERENCES regions,
    started_at    timestamptz NOT NULL DEFAULT now(),
    completed_at  timestamptz,
    errored       boolean NOT NULL DEFAULT false,
    -- A sentence for the tenant when it errored.
    error         text,
    CHECK (NOT errored OR completed_at IS NOT NULL)
);
CREATE INDEX actions_by_team ON actions (team_id, id);
CREATE INDEX actions_by_resource ON actions (resource_type, resource_id, id);
CREATE INDEX actions_by_workflow ON actions (workflow_id);

CREATE TABLE tags (
    team_id    uuid NOT NULL REFERENCES teams,
    name       text NOT NULL CHECK (name ~ '^[A-Za-z0-9:_-]{1,255}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, name)
);
CREATE TABLE tagged (
    team_id       uuid NOT NULL,
    tag           text NOT NULL,
    resource_type text NOT NULL CHECK (resource_type IN ('droplet', 'image', 'volume', 'volume_snapshot', 'database')),
    resource_id   text NOT NULL,
    tagged_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, tag, resource_type, resource_id),
    FOREIGN KEY (team_id, tag) REFERENCES tags ON DELETE CASCADE
);
CREATE INDEX tagged_by_resource ON tagged (team_id, resource_type, resource_id);

-- Usage is time ranges, never samples; two ranges of one thing cannot overlap.
CREATE TABLE usage_ranges (
    id       uuid PRIMARY KEY,
    team_id  uuid NOT NULL REFERENCES teams,
    urn      text NOT NULL,
    kind     text NOT NULL,
    size     text NOT NULL,
    -- Millionths an hour, as priced when the range began.
    price_hourly bigint NOT NULL CHECK (price_hourly >= 0),
    span     tstzrange NOT NULL CHECK (NOT isempty(span)),
    EXCLUDE USING gist (urn WITH =, kind WITH =, span WITH &&)
);
CREATE INDEX usage_ranges_by_team ON usage_ranges (team_id);

CREATE TABLE events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id uuid NOT NULL REFERENCES teams,
    at      timestamptz NOT NULL DEFAULT now(),
    kind    text NOT NULL,
    urn     text NOT NULL,
    body    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_by_team ON events (team_id, id);

CREATE TABLE audit_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id    uuid NOT NULL REFERENCES teams,
    at         timestamptz NOT NULL DEFAULT now(),
    token_id   uuid REFERENCES tokens,
    operation  text NOT NULL,
    urn        text,
    request_id uuid NOT NULL,
    -- What was asked, without secrets and user data.
    detail     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_by_team ON audit_events (team_id, id);

CREATE TABLE idempotency_keys (
    team_id      uuid NOT NULL REFERENCES teams,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    -- The ids that the first request made; a repeat answers with these.
    resource_ids integer[] NOT NULL,
    action_ids   integer[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, key)
);

DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['ssh_keys', 'servers', 'reservations', 'actions', 'tags', 'tagged', 'usage_ranges',
                                'events', 'audit_events', 'idempotency_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I FOR ALL TO cairn_api USING (team_id = current_team())', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ssh_keys, tags, tagged TO cairn_api;
GRANT SELECT, INSERT, UPDATE ON servers, reservations, actions TO cairn_api;
GRANT SELECT, INSERT ON events, audit_events, idempotency_keys TO cairn_api;
GRANT SELECT ON usage_ranges TO cairn_api;
