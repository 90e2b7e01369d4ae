-- What leaves the house to tell somebody something. A mail is written in the transaction of what it tells of, and sent
-- afterwards by whoever has been told of a server for mail.
CREATE TABLE mails (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient   text NOT NULL CHECK (length(recipient) BETWEEN 3 AND 320 AND recipient !~ '[[:cntrl:]]'),
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255 AND subject !~ '[[:cntrl:]]'),
    -- The only place of a mail where something secret may stand (a link that invites). Erased when the mail is over.
    body        text NOT NULL CHECK (length(body) <= 65536),
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- How often a worker took it up. Whoever took it up last is the one who may say what became of it.
    attempts    integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When it is taken up again; while it is being sent, when another worker may assume that the first one died.
    next_at     timestamptz DEFAULT now(),
    sent_at     timestamptz,
    given_up_at timestamptz,
    last_error  text CHECK (length(last_error) <= 1000),
    CONSTRAINT over_once CHECK (num_nonnulls(next_at, sent_at, given_up_at) = 1),
    CONSTRAINT erased_when_over CHECK (next_at IS NOT NULL OR body = '')
);
CREATE INDEX mails_due ON mails (next_at) WHERE next_at IS NOT NULL;

-- Tenants' requests write mails and can read none.
GRANT INSERT ON mails TO cairn_api;
