-- Regions that operators connect at run time, beside those of the catalogue; and numbers for guests.

ALTER TABLE regions
    -- The catalogue's regions are brought up to its file; an operator's are left alone by that.
    ADD COLUMN origin     text NOT NULL DEFAULT 'catalogue' CHECK (origin IN ('catalogue', 'operator')),
    -- Rows that speak of it (servers that are gone, actions) outlive it.
    ADD COLUMN removed_at timestamptz,
    ADD CONSTRAINT removed_regions_take_nothing CHECK (removed_at IS NULL OR NOT available);

-- How a region is reached. What stands in regions.settings from here on is policy: how much of it is sold.
CREATE TABLE region_connections (
    region       text PRIMARY KEY REFERENCES regions,
    -- What the provider needs to know, in its own words. No secrets.
    settings     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    -- Sealed (cloud::secrets) under a key that the database never sees.
    secret       bytea,
    -- SHA-256 of the certificates that are trusted, hex with colons.
    fingerprints text[] NOT NULL DEFAULT '{}',
    -- Counts changes of the above; processes that hold a connection of another revision connect anew.
    revision     bigint NOT NULL DEFAULT 1 CHECK (revision > 0),

    -- Written by the processes that connect and look.
    state        text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'connected', 'failed')),
    last_error   text,
    connected_at timestamptz,
    -- Looks that failed in a row.
    failures     integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    CHECK (state <> 'failed' OR last_error IS NOT NULL)
);
INSERT INTO region_connections (region, settings) SELECT slug, settings - 'overcommit' FROM regions;
UPDATE regions SET settings = CASE WHEN settings ? 'overcommit'
    THEN jsonb_build_object('overcommit', settings -> 'overcommit') ELSE '{}' END;

CREATE FUNCTION tell_regions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('regions', coalesce(NEW.region, OLD.region));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_regions AFTER INSERT OR DELETE OR UPDATE OF revision ON region_connections
    FOR EACH ROW EXECUTE FUNCTION tell_regions();

-- A question to a provider that a request may not ask itself: would this connection work? A worker answers.
CREATE TABLE region_probes (
    -- The workflow that answers it.
    id           uuid PRIMARY KEY,
    provider     text NOT NULL,
    settings     jsonb NOT NULL,
    secret       bytea,
    -- What the secret was sealed for.
    sealed_for   text NOT NULL,
    fingerprints text[] NOT NULL,
    -- provider::Finding, as a list; NULL: not answered yet.
    findings     jsonb,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Numbers of guests, where a provider numbers them: our own, never the provider's next free one, which reserves nothing.
CREATE TABLE guest_numbers (
    region     text NOT NULL REFERENCES regions,
    number     bigint NOT NULL CHECK (number > 0),
    -- Whose it is, or was until it was freed. NULL: something at the provider that is not ours has it.
    server_id  integer,
    -- The server that ran into a stranger.
    lost_by    integer,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    -- A number rests before it is given again: what the provider remembers of it (tasks, backups, locks) goes stale.
    freed_at   timestamptz,
    PRIMARY KEY (region, number)
);
CREATE UNIQUE INDEX guest_numbers_by_server ON guest_numbers (server_id) WHERE freed_at IS NULL AND server_id IS NOT NULL;
CREATE INDEX guest_numbers_freed ON guest_numbers (region, freed_at) WHERE freed_at IS NOT NULL;
CREATE INDEX guest_numbers_lost ON guest_numbers (lost_by) WHERE lost_by IS NOT NULL;

-- Draws are spread by a sequence, so that two claims never wait for each other: neither for a lock nor for a number.
CREATE SEQUENCE guest_number_draws AS bigint;

-- The number that the server has, or a new one from first..last. NULL: the range is used up.
CREATE FUNCTION claim_guest_number(of_region text, for_server integer, first bigint, last bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    drawn bigint;
BEGIN
    SELECT number INTO drawn FROM guest_numbers WHERE server_id = for_server AND freed_at IS NULL;
    IF FOUND THEN RETURN drawn; END IF;
    FOR draw IN 1..16 LOOP
        drawn := first + nextval('guest_number_draws') % (last - first + 1);
        INSERT INTO guest_numbers AS n (region, number, server_id) VALUES (of_region, drawn, for_server)
        ON CONFLICT (region, number) DO UPDATE
            SET server_id = for_server, lost_by = NULL, claimed_at = now(), freed_at = NULL
            WHERE n.freed_at < now() - interval '24 hours';
        IF FOUND THEN RETURN drawn; END IF;
    END LOOP;
    -- The range is nearly full: look for a number that was never given, then for the one that has rested longest.
    FOR drawn IN SELECT g FROM generate_series(first, last) AS g
                 WHERE NOT EXISTS (SELECT FROM guest_numbers n WHERE n.region = of_region AND n.number = g) LOOP
        INSERT INTO guest_numbers (region, number, server_id) VALUES (of_region, drawn, for_server)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN drawn; END IF;
    END LOOP;
    UPDATE guest_numbers n SET server_id = for_server, lost_by = NULL, claimed_at = now(), freed_at = NULL
    FROM (SELECT f.number FROM guest_numbers f
          WHERE f.region = of_region AND f.freed_at IS NOT NULL AND f.number BETWEEN first AND last
          ORDER BY f.freed_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS rested
    WHERE n.region = of_region AND n.number = rested.number
    RETURNING n.number INTO drawn;
    IF FOUND THEN RETURN drawn; END IF;
    RETURN NULL;
END $$;

ALTER TABLE region_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE region_probes      ENABLE ROW LEVEL SECURITY;
ALTER TABLE guest_numbers      ENABLE ROW LEVEL SECURITY;
