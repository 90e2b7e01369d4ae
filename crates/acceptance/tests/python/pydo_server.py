"""One server's whole life through pydo as it is on PyPI. Called by tests/all/pydo.rs:

    pydo_server.py ENDPOINT KEYFILE IMAGE       the token in CAIRN_TOKEN, trust in REQUESTS_CA_BUNDLE

On standard output one line of JSON for each stage: {"stage": NAME, "look": [PATH, …]}. The test then looks at these
paths itself, and answers with an empty line on standard input. Everything else goes to standard error.
"""

import json
import os
import subprocess
import sys
import time

import pydo
import requests

ENDPOINT, KEY, IMAGE = sys.argv[1:]
TOKEN = os.environ["CAIRN_TOKEN"]
NAME = "pydo-web-1"
SMALL, LARGE = "s-1vcpu-1gb", "s-2vcpu-2gb"
# A boot without KVM takes a minute, and four on a machine that builds beside it. What is waited for ends the wait.
PATIENCE = 540

client = pydo.Client(TOKEN, endpoint=ENDPOINT)
began = time.monotonic()


def say(words):
    print(f"[{time.monotonic() - began:6.1f}] {words}", file=sys.stderr, flush=True)


def stage(name, *look):
    say(name)
    print(json.dumps({"stage": name, "look": look}), flush=True)
    if not sys.stdin.readline():
        sys.exit("the test is gone")


def wait(what, probe):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.5)
    sys.exit(f"waited in vain for {what}")


def same(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def ended(action):
    """Waits for an action through pydo; it has to succeed."""
    if "action" not in action:
        sys.exit(f"no action: {action}")
    ident = action["action"]["id"]

    def probe():
        now = client.actions.get(action_id=ident)["action"]
        return now if now["status"] != "in-progress" else None

    now = wait(f"action {ident}", probe)
    same(f"action {now['type']}", now["status"], "completed")
    return now


def act(server, **body):
    action = client.droplet_actions.post(droplet_id=server, body=body)
    done = ended(action)
    same("the action's name", done["type"], body["type"])
    same("the action under its server", client.droplet_actions.get(server, done["id"])["action"]["id"], done["id"])
    return done


def status(server):
    return client.droplets.get(droplet_id=server)["droplet"]["status"]


def address(server):
    droplet = client.droplets.get(droplet_id=server)["droplet"]
    forwarded = droplet.get("cloud", {}).get("ssh")
    if forwarded:
        return forwarded["host"], str(forwarded["port"])
    public = [net["ip_address"] for net in droplet["networks"]["v4"] if net["type"] == "public"]
    return public[0], "22"


def ssh(server, command, user="root"):
    """What a command in the guest prints, as soon as the guest lets us in; the command has to succeed."""
    host, port = address(server)
    line = ["ssh", "-i", KEY, "-p", port, "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
    line += ["-o", "ConnectTimeout=5", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]
    line += ["-o", "ServerAliveInterval=15", f"{user}@{host}", command]
    last = ""

    def probe():
        nonlocal last
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        last = done.stderr.strip()
        # 255 is ssh's own failure: the guest is not up, or cloud-init has not let us in yet.
        if done.returncode == 255:
            return None
        same(f"exit status of {command!r} ({last})", done.returncode, 0)
        return [done.stdout.strip()]

    try:
        return wait(f"ssh {user}@{host}: {command}", probe)[0]
    except SystemExit as end:
        sys.exit(f"{end} (ssh's last words: {last})")


def booted(server, since=None):
    """Waits until the guest is up, and is not the boot `since`; the boot's id."""

    def probe():
        found = ssh(server, "cat /proc/sys/kernel/random/boot_id")
        return found if found != since else None

    return wait("another boot", probe)


def disk_gb(server):
    return int(ssh(server, "df --output=size --block-size=1G / | tail -n 1"))


# --- what there is -------------------------------------------------------------------------------

same("the account", client.account.get()["account"]["status"], "active")
region = client.regions.list()["regions"][0]["slug"]
sizes = {size["slug"]: size for size in client.sizes.list(per_page=100)["sizes"]}
image = client.images.get(IMAGE)["image"]
same("the image", (image["slug"], image["public"]), (IMAGE, True))

with open(f"{KEY}.pub", encoding="ascii") as file:
    public = file.read().strip()
key = client.ssh_keys.create(body={"name": "pydo", "public_key": public})["ssh_key"]
same("the key by its fingerprint", client.ssh_keys.get(key["fingerprint"])["ssh_key"]["id"], key["id"])
stage("begun", "/v2/account", "/v2/regions", "/v2/sizes", f"/v2/images/{IMAGE}", f"/v2/account/keys/{key['id']}")

# --- a server ------------------------------------------------------------------------------------

created = client.droplets.create(
    body={"name": NAME, "region": region, "size": SMALL, "image": IMAGE, "ssh_keys": [key["id"]], "tags": ["pydo"]}
)
if "droplet" not in created:
    sys.exit(f"refused: {created}")
server = created["droplet"]["id"]
href = created["links"]["actions"][0]["href"]
same("the server begins", created["droplet"]["status"], "new")


def create_ended():
    answer = requests.get(href, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    answer.raise_for_status()
    now = answer.json()["action"]
    return now if now["status"] != "in-progress" else None


same("the create", wait("the create", create_ended)["status"], "completed")
wait("the server to be active", lambda: status(server) == "active")
stage("active", f"/v2/droplets/{server}", f"/v2/droplets/{server}/actions", "/v2/droplets?tag_name=pydo", "/v2/actions")

same("the host name", ssh(server, "hostname"), NAME)
user = "debian"
same("the host name", ssh(server, "hostname", user=user), NAME)
same("the default user", ssh(server, "id -un; sudo -n id -u", user=user), f"{user}\n0")
same("the processors", ssh(server, "nproc"), str(sizes[SMALL]["vcpus"]))
first_disk = disk_gb(server)
same("found by its name", [one["id"] for one in client.droplets.list(name=NAME)["droplets"]], [server])
same("found by its tag", [one["id"] for one in client.droplets.list(tag_name="pydo")["droplets"]], [server])
same("the tag's count", client.tags.get("pydo")["tag"]["resources"]["droplets"]["count"], 1)
boot = booted(server)
stage("entered", "/v2/tags/pydo", f"/v2/droplets?name={NAME}")

# --- off, larger, on -----------------------------------------------------------------------------

ssh(server, "echo before >/root/marker && sync")
act(server, type="power_off")
same("powered off", status(server), "off")
stage("off", f"/v2/droplets/{server}")
act(server, type="resize", size=LARGE, disk=True)
resized = client.droplets.get(droplet_id=server)["droplet"]
same("the size", (resized["size_slug"], resized["disk"]), (LARGE, sizes[LARGE]["disk"]))
act(server, type="power_on")
same("powered on", status(server), "active")
second_boot = booted(server, since=boot)
same("the processors", ssh(server, "nproc"), str(sizes[LARGE]["vcpus"]))
grown = disk_gb(server)
if grown <= first_disk:
    sys.exit(f"the disk did not grow: {first_disk} GB, then {grown} GB")
stage("resized", f"/v2/droplets/{server}", f"/v2/droplets/{server}/actions")

# --- a snapshot, and back to it ------------------------------------------------------------------

same("what was written before it was powered off", ssh(server, "cat /root/marker"), "before")
ssh(server, "echo kept >/root/marker && sync")
act(server, type="snapshot", name="pydo-kept")
snapshots = client.droplets.list_snapshots(droplet_id=server)["snapshots"]
same("the snapshot", [snapshot["name"] for snapshot in snapshots], ["pydo-kept"])
snapshot = snapshots[0]["id"]
same("among the snapshots", client.snapshots.get(str(snapshot))["snapshot"]["resource_id"], str(server))
listed = client.snapshots.list(resource_type="droplet")["snapshots"]
same("among the snapshots", [one["id"] for one in listed], [str(snapshot)])
private = client.images.list(private=True)["images"]
same("among the images", [(one["id"], one["type"]) for one in private], [(snapshot, "snapshot")])
stage(
    "kept", f"/v2/droplets/{server}/snapshots", f"/v2/snapshots/{snapshot}", "/v2/snapshots", f"/v2/images/{snapshot}",
    "/v2/images?private=true", f"/v2/droplets/{server}",
)

ssh(server, "echo changed >/root/marker && sync")
act(server, type="rebuild", image=snapshot)
wait("the server to be active", lambda: status(server) == "active")
booted(server, since=second_boot)
same("what the snapshot holds", ssh(server, "cat /root/marker"), "kept")
same("the host name", ssh(server, "hostname"), NAME)
kinds = {action["type"] for action in client.droplet_actions.list(droplet_id=server)["actions"]}
same("the actions", kinds >= {"create", "power_off", "resize", "power_on", "snapshot", "rebuild"}, True)
stage("rebuilt", f"/v2/droplets/{server}", f"/v2/droplets/{server}/actions?per_page=3")

# --- the end -------------------------------------------------------------------------------------

same("the deletion", client.droplets.destroy(droplet_id=server), None)
wait("the end of the server", lambda: client.droplets.get(droplet_id=server).get("id") == "not_found")
same("none is left", client.droplets.list()["meta"]["total"], 0)
same("the deletion", client.snapshots.delete(str(snapshot)), None)
same("the snapshot", client.snapshots.get(str(snapshot))["id"], "not_found")
same("the image", client.images.get(snapshot)["id"], "not_found")
same("the deletion", client.tags.delete("pydo"), None)
same("the deletion", client.ssh_keys.delete(key["id"]), None)
same("the key", client.ssh_keys.get(key["id"])["id"], "not_found")
stage("gone", "/v2/droplets", "/v2/snapshots", "/v2/images?private=true", "/v2/account/keys", "/v2/tags")
