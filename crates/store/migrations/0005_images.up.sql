-- Images of teams: until when they stay, when their bytes are gone, whom they are offered to. And how far the backups
-- of a server have got.

ALTER TABLE images
    -- deleted_at: not listed any more. erased_at: the bytes are gone too; until then the quota is held.
    ADD COLUMN erased_at  timestamptz,
    -- Of backups: when the schedule deletes it.
    ADD COLUMN expires_at timestamptz;
UPDATE images SET erased_at = deleted_at WHERE deleted_at IS NOT NULL;
ALTER TABLE images
    ADD CONSTRAINT images_erased_are_deleted CHECK (erased_at IS NULL OR deleted_at IS NOT NULL),
    ADD CONSTRAINT images_only_backups_expire CHECK (expires_at IS NULL OR kind = 'backup');
CREATE INDEX images_kept ON images (team_id) WHERE erased_at IS NULL AND team_id IS NOT NULL;
CREATE INDEX images_expiring ON images (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;

-- Up to when every backup window has been served: when the policy was set, or the last backup was begun.
ALTER TABLE servers ADD COLUMN backups_served_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX servers_backed_up ON servers (id) WHERE backups AND deleted_at IS NULL;
CREATE INDEX servers_by_image ON servers (image_id) WHERE deleted_at IS NULL;

-- An image that was offered to another team: by its id, or by its address, which whoever is offered something proves by
-- having it. That there is such a team is not checked, so that an offer says nothing about who exists.
CREATE TABLE image_transfers (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    image_id        integer NOT NULL REFERENCES images,
    -- Who offers it.
    team_id         uuid NOT NULL REFERENCES teams,
    recipient_team  uuid,
    recipient_email text CHECK (recipient_email = lower(recipient_email)),
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'cancelled', 'declined')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    CHECK (num_nonnulls(recipient_team, recipient_email) = 1),
    CHECK (recipient_team <> team_id),
    CHECK ((status = 'pending') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX image_transfers_one_pending ON image_transfers (image_id) WHERE status = 'pending';

ALTER TABLE image_transfers ENABLE ROW LEVEL SECURITY;
CREATE POLICY sender ON image_transfers FOR ALL TO cairn_api USING (team_id = current_team());
CREATE POLICY recipient_reads ON image_transfers FOR SELECT TO cairn_api
    USING (recipient_team = current_team() OR recipient_email = (SELECT lower(t.email) FROM teams t WHERE t.id = current_team()));
CREATE POLICY recipient_ends ON image_transfers FOR UPDATE TO cairn_api
    USING (recipient_team = current_team() OR recipient_email = (SELECT lower(t.email) FROM teams t WHERE t.id = current_team()));
GRANT SELECT, INSERT ON image_transfers TO cairn_api;
GRANT UPDATE (status, ended_at) ON image_transfers TO cairn_api;

-- A server goes on showing what it was made from, also when that belongs to another team by now.
CREATE POLICY of_servers ON images FOR SELECT TO cairn_api
    USING (EXISTS (SELECT FROM servers s WHERE s.image_id = images.id AND s.team_id = current_team()));

-- The one statement that touches two teams: the running request's team takes what was offered to it. With the owner's
-- rights, because neither team may write the other's rows; so it checks by itself who asks, and for what. False: there
-- is no such offer, or the image cannot be taken at the moment.
CREATE FUNCTION accept_image_transfer(transfer integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    recipient uuid := current_team();
    offer image_transfers%ROWTYPE;
    life uuid;
BEGIN
    SELECT * INTO offer FROM image_transfers o
    WHERE o.id = transfer AND o.status = 'pending' AND o.team_id <> recipient
      AND (o.recipient_team = recipient
           OR o.recipient_email = (SELECT lower(t.email) FROM teams t WHERE t.id = recipient))
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE images i SET team_id = recipient
    WHERE i.id = offer.image_id AND i.team_id = offer.team_id AND i.kind = 'snapshot' AND i.status = 'available'
      AND NOT EXISTS (SELECT FROM actions a WHERE a.resource_type = 'image' AND a.resource_id = i.id
                      AND a.completed_at IS NULL)
    RETURNING i.workflow_id INTO life;
    IF NOT FOUND THEN RETURN false; END IF;
    DELETE FROM tagged g
    WHERE g.team_id = offer.team_id AND g.resource_type = 'image' AND g.resource_id = offer.image_id::text;
    UPDATE image_transfers o SET status = 'accepted', ended_at = clock_timestamp() WHERE o.id = transfer;
    INSERT INTO events (team_id, kind, urn, body)
    VALUES (offer.team_id, 'image_transfer.accept', 'do:image:' || offer.image_id,
            jsonb_build_object('transfer_id', transfer));
    -- Last, as everywhere: whoever drives it writes other rows first.
    UPDATE workflows w SET team_id = recipient WHERE w.id = life;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION accept_image_transfer(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accept_image_transfer(integer) TO cairn_api;
