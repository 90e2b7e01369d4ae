-- What is made of an image: a virtual machine of a disk, a container of an archive of files. A server is what its image
-- makes of it, and stays that.
ALTER TABLE images ADD COLUMN guest text NOT NULL DEFAULT 'machine' CHECK (guest IN ('machine', 'container'));
