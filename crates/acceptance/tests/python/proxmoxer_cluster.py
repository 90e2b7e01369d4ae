"""A simulated Proxmox VE cluster through proxmoxer as it is on PyPI. Called by tests/all/proxmoxer.rs:

    proxmoxer_cluster.py URL FINGERPRINT CONTROL TOKEN PASSWORD DIRECTORY

URL is the first entry, FINGERPRINT what its certificate is known by, CONTROL the port that faults are scripted at,
TOKEN `root@pam!ID=SECRET`, PASSWORD that of root@pam, DIRECTORY a place for files. On standard output one line of JSON
at the end: what was counted. Everything else goes to standard error.
"""

import hashlib
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

import requests
from proxmoxer import ProxmoxAPI
from proxmoxer.core import AuthenticationError, ResourceException
from proxmoxer.tools import Tasks

URL, FINGERPRINT, CONTROL, TOKEN, PASSWORD, DIRECTORY = sys.argv[1:]
PLACE = urllib.parse.urlsplit(URL).netloc
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfGmmiwp1Y2u8v3yRk+Gr3B1bXbq2mXhyB0pTtZ3lK me@home"
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
IMAGE = "local:import/debian-13-genericcloud-amd64.qcow2"
CONNECT = "Errors during connection establishment, proxy handshake"
TLS = "Errors during TLS negotiation, request sending and header processing"
BODY = "Errors during body receiving or processing"
OTHER = "Other, usually nonretryable, errors (garbled URL etc.)"
counted = {"errors": 0, "tasks": 0, "stages": 0}


def say(words):
    counted["stages"] += 1
    print(words, file=sys.stderr, flush=True)


def same(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


def ended(api, upid, wanted="OK"):
    """Waits for a task as proxmoxer's own tools do, and holds its end against what is wanted."""
    counted["tasks"] += 1
    status = Tasks.blocking_status(api, upid, timeout=60, polling_interval=0.01)
    same(f"the end of {upid}", status and status["exitstatus"], wanted)
    return status


def refused(call, status, phrase, content, errors=None):
    """The call is refused, and proxmoxer raises what it says. `phrase`: proxmoxer's own word for the status."""
    counted["errors"] += 1
    try:
        answer = call()
    except ResourceException as error:
        same("the status", error.status_code, status)
        same("the status's phrase", error.status_message, phrase)
        same("the content", error.content, content)
        same("the errors", error.errors, errors)
        same("the sentence", str(error).startswith(f"{status} {phrase}: {content}"), True)
        return error
    raise AssertionError(f"{answer!r}, not {status} {content}")


def wrong(call, **errors):
    return refused(call, 400, "Bad Request", "Parameter verification failed.", errors)


def died(call, content):
    return refused(call, 500, "Internal Server Error", content)


def control(path, body):
    """One line for the script of faults, or a deed that happens at once."""
    request = urllib.request.Request(CONTROL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        answer.read()


def fault(kind, times=1, when=None, **more):
    control("/faults", {"when": when or {}, "fault": {"kind": kind, **more}, "times": times})


# --- who we are ----------------------------------------------------------------------------------

# The certificate is our own: known by its fingerprint, then trusted as a file, as whoever has no authority does it.
host, port = PLACE.split(":")
pem = ssl.get_server_certificate((host, int(port)))
digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
same("the fingerprint", ":".join(digest[at : at + 2] for at in range(0, 64, 2)), FINGERPRINT)
trusted = os.path.join(DIRECTORY, "pve.pem")
with open(trusted, "w", encoding="ascii") as file:
    file.write(pem)

root = ProxmoxAPI(PLACE, user="root@pam", password=PASSWORD, verify_ssl=trusted, timeout=30)
ticket, csrf = root.get_tokens()
same("a ticket", (ticket.startswith("PVE:root@pam:"), bool(csrf)), (True, True))
same("the version", root.version.get()["release"], "9.2")
try:
    ProxmoxAPI(PLACE, user="root@pam", password="wrong", verify_ssl=False, timeout=30)
    raise AssertionError("a wrong password opens")
except AuthenticationError as error:
    counted["errors"] += 1
    same("the code", str(error).endswith("code: 401"), True)
try:
    ProxmoxAPI(PLACE, user="root@pam", password=PASSWORD, verify_ssl=True, timeout=30)
    raise AssertionError("an unknown certificate is trusted")
except requests.exceptions.SSLError:
    counted["errors"] += 1
say("a ticket")

root.access.users.create(userid="tofu@pve", comment="by proxmoxer")
token = root.access.users("tofu@pve").token("t1").create(comment="separated", privsep=1)
same("the token's name", token["full-tokenid"], "tofu@pve!t1")
tofu = ProxmoxAPI(
    PLACE, user="tofu@pve", token_name="t1", token_value=token["value"], verify_ssl=trusted, timeout=30
)
same("what it may", tofu.access.permissions.get(), {})
for who in ({"users": "tofu@pve"}, {"tokens": "tofu@pve!t1"}):
    root.access.acl.put(path="/vms", roles="PVEVMAdmin", **who)
    root.access.acl.put(path="/storage", roles="PVEDatastoreUser", **who)
    root.access.acl.put(path="/sdn/zones", roles="PVESDNUser", **who)
same("what it may now", tofu.access.permissions.get()["/vms"]["VM.Allocate"], 1)
name, secret = TOKEN.split("=")
user, token_name = name.split("!")
api = ProxmoxAPI(PLACE, user=user, token_name=token_name, token_value=secret, verify_ssl=False, timeout=30)
same("a token has no ticket", api.get_tokens(), (None, None))
nobody = ProxmoxAPI(PLACE, user=user, token_name=token_name, token_value="nope", verify_ssl=False, timeout=30)
refused(nobody.version.get, 401, "Unauthorized", "Authentication failed!", {"errors": b""})
forged = ProxmoxAPI(PLACE, user="root@pam", password=PASSWORD, verify_ssl=trusted, timeout=30)
forged._backend.auth.csrf_prevention_token = "bad"
same("reading needs no token against forgery", forged.version.get()["release"], "9.2")
refused(
    lambda: forged.pools.create(poolid="p"), 401, "Unauthorized", "Permission denied - invalid csrf token",
    {"errors": b""},
)
say("a token")

# --- a virtual machine ---------------------------------------------------------------------------

pve1, pve2, pve3 = (api.nodes(node) for node in ("pve1", "pve2", "pve3"))
same("the nodes", sorted(node["node"] for node in api.nodes.get()), ["pve1", "pve2", "pve3"])
same("the next number", str(api.cluster.nextid.get()), "100")
storages = {one["storage"]: one for one in pve1.storage.get()}
same("the storages", sorted(storages), ["local", "local-lvm", "shared"])
same("the storage", (storages["shared"]["shared"], storages["shared"]["active"]), (1, 1))
same("its images", [one["volid"] for one in pve1.storage("local").content.get(content="import")], [IMAGE])

ended(
    api,
    pve1.qemu.create(
        vmid=900, name="debian", memory=512, cores=1, agent=1, net0="virtio,bridge=vmbr0", ide2="shared:cloudinit",
        scsi0=f"shared:0,import-from={IMAGE}",
    ),
)
ended(api, pve1.qemu(900).template.create())
ended(api, pve1.qemu(900).clone.create(newid=100, name="web-1", full=1, storage="local-lvm"))
encoded = urllib.parse.quote(KEY, safe="")
wrong(lambda: pve1.qemu(100).config.put(sshkeys=KEY), sshkeys="invalid format - invalid urlencoded string\n")
pve1.qemu(100).config.put(
    sshkeys=encoded, ciuser="debian", ipconfig0="ip=198.18.0.5/24,gw=198.18.0.1", tags="web;proxmoxer", cores=2
)
config = pve1.qemu(100).config.get()
same("the keys", urllib.parse.unquote(config["sshkeys"]), KEY)
same("the configuration", (config["ciuser"], config["cores"], config["name"]), ("debian", 2, "web-1"))
died(lambda: pve1.qemu(100).config.put(cores=4, digest="0" * 40), "checksum mismatch (file change by other user?)")
pve1.qemu(100).config.put(cores=4, digest=config["digest"])
ended(api, pve1.qemu(100).resize.put(disk="scsi0", size="+1G"))
ended(api, pve1.qemu(100).status.start.post())
same("it runs", pve1.qemu(100).status.current.get()["status"], "running")
upid = pve1.qemu(100).status.start.post()
ended(api, upid, "VM 100 already running")
log = pve1.tasks(upid).log.get()
same("its log", Tasks.decode_log(log).splitlines()[-1], "TASK ERROR: VM 100 already running")
parts = Tasks.decode_upid(upid)
same("its name", [parts[key] for key in ("node", "type", "id", "user")], ["pve1", "qmstart", "100", user])
say("a clone that runs")

ended(api, pve1.qemu(100).snapshot.create(snapname="before", description="as it was"))
pve1.qemu(100).config.put(description="changed")
ended(api, pve1.qemu(100).snapshot("before").rollback.post())
same("as it was", "description" in pve1.qemu(100).config.get(), False)
same("the snapshots", sorted(one["name"] for one in pve1.qemu(100).snapshot.get()), ["before", "current"])
ended(api, pve1.qemu(100).snapshot("before").delete())
say("a snapshot")

if pve1.qemu(100).status.current.get()["status"] == "stopped":
    ended(api, pve1.qemu(100).status.start.post())
died(lambda: pve1.qemu(100).migrate.post(target="pve2"), "can't migrate running VM without --online")
ended(api, pve1.qemu(100).migrate.post(**{"target": "pve2", "online": 1, "with-local-disks": 1}))
died(pve1.qemu(100).config.get, "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist")
same("it moved", pve2.qemu(100).status.current.get()["status"], "running")
say("a move")

# --- a container ---------------------------------------------------------------------------------

ended(
    api,
    pve1.lxc.create(
        vmid=200, ostemplate=TEMPLATE, rootfs="local-lvm:4", hostname="ct-1", unprivileged=1,
        net0="name=eth0,bridge=vmbr0,ip=198.18.0.6/24",
    ),
    "WARNINGS: 1",
)
ended(api, pve1.lxc(200).status.start.post(), "WARNINGS: 1")
same("it runs", pve1.lxc(200).status.current.get()["status"], "running")
ended(api, pve1.lxc(200).status.shutdown.post())
ended(api, pve1.lxc(200).delete(purge=1))
say("a container")

# --- a file --------------------------------------------------------------------------------------

iso = os.path.join(DIRECTORY, "seed.iso")
with open(iso, "wb") as file:
    file.write(bytes(65536))
with open(iso, "rb") as file:
    ended(api, pve2.storage("local").upload.create(content="iso", filename=file))
listed = {one["volid"]: one["size"] for one in pve2.storage("local").content.get(content="iso")}
same("the file", listed.get("local:iso/seed.iso"), 65536)
text = os.path.join(DIRECTORY, "seed.txt")
os.rename(iso, text)
with open(text, "rb") as file:
    wrong(lambda: pve2.storage("local").upload.create(content="iso", filename=file), filename="wrong file extension")
upid = pve2.storage("local").content("local:iso/seed.iso").delete()
if upid:
    ended(api, upid)
say("an upload")

# --- each way to say no --------------------------------------------------------------------------

wrong(
    lambda: pve1.qemu.create(vmid="five", memory=512, nonsense=1, name="bad_name"),
    vmid="type check ('integer') failed - got 'five'",
    nonsense="property is not defined in schema and the schema does not allow additional properties",
    name="invalid format - value does not look like a valid DNS name\n",
)
wrong(pve1.qemu.create, vmid="property is missing and it is not optional")
wrong(lambda: api.cluster.nextid.get(vmid=100), vmid="VM 100 already exists")
unknown = f"UPID:pve1:0000FFFF:0003C1C5:6B00F249:qmstart:100:{TOKEN.split('=')[0]}:"
wrong(lambda: Tasks.blocking_status(api, unknown), upid="no such task")
refused(
    lambda: tofu.pools.create(poolid="p"), 403, "Forbidden", "Permission check failed (/pool/p, Pool.Allocate)"
)
refused(
    lambda: api.nodes("pve1").disks.wipedisk.put(disk="/dev/sda"), 403, "Forbidden",
    "Permission check failed (user != root@pam)",
)
refused(api.nope.get, 501, "Not Implemented", "Method 'GET /nope' not implemented")
refused(api.version.delete, 501, "Not Implemented", "Method 'DELETE /version' not implemented")
died(lambda: pve1.qemu.create(vmid=100), "unable to create VM 100 - VM 100 already exists on node 'pve2'")

fault("lock_timeout", when={"task": "qmclone"})
died(
    lambda: pve1.qemu(900).clone.create(newid=101),
    "can't lock file '/var/lock/qemu-server/lock-900.conf' - got timeout",
)
control("/deeds", {"deed": "lock_left", "vmid": 100, "lock": "backup"})
died(lambda: pve2.qemu(100).config.put(cores=1), "VM is locked (backup)")
control("/deeds", {"deed": "lock_left", "vmid": 100, "lock": ""})
control("/deeds", {"deed": "quorum_lost"})
died(lambda: pve1.qemu.create(vmid=101), "cluster not ready - no quorum?")
control("/deeds", {"deed": "quorum_back"})
fault("refuse", status=500, message="got no worker upid - start worker failed\n")
died(lambda: pve1.qemu.create(vmid=101), "got no worker upid - start worker failed")
say("refusals")

for kind, text in [
    ({"kind": "task_fails", "message": "storage 'x' is not online"}, "storage 'x' is not online"),
    ({"kind": "task_killed"}, "unexpected status"),
    ({"kind": "task_warns", "lines": ["this is odd"]}, "WARNINGS: 1"),
]:
    fault(**kind, when={"task": "qmsnapshot"})
    ended(api, pve2.qemu(100).snapshot.create(snapname="s1"), text)
    if text == "unexpected status":
        # A killed worker cleans nothing up.
        control("/deeds", {"deed": "lock_left", "vmid": 100, "lock": ""})
        if "s1" in [one["name"] for one in pve2.qemu(100).snapshot.get()]:
            ended(api, pve2.qemu(100).snapshot("s1").delete(force=1))
ended(api, pve2.qemu(100).snapshot("s1").delete())
say("tasks that end badly")

# The proxy gives up, and the work goes on: it is looked for, not asked for again.
fault("timed_out", when={"task": "qmcreate"})
refused(lambda: pve2.qemu.create(vmid=102), 596, TLS, "Connection timed out", {"errors": b""})
known = pve2.tasks.get(source="all", vmid=102)
same("the work goes on", [task["type"] for task in known], ["qmcreate"])
ended(api, known[0]["upid"])
for status, phrase in ((597, BODY), (599, OTHER)):
    fault("refuse", status=status, message="Broken pipe")
    refused(api.version.get, status, phrase, "Broken pipe", {"errors": b""})
fault("lost", when={"task": "qmdestroy"})
try:
    pve2.qemu(102).delete(purge=1)
    raise AssertionError("a lost answer came")
except requests.exceptions.ConnectionError:
    counted["errors"] += 1
ended(api, pve2.tasks.get(source="all", vmid=102, typefilter="qmdestroy")[0]["upid"])
control("/deeds", {"deed": "node_dies", "node": "pve3"})
refused(pve3.qemu.get, 595, CONNECT, f"{CONNECT} and TLS errors: No route to host", {"errors": b""})
control("/deeds", {"deed": "node_returns", "node": "pve3"})
same("it is back", pve3.qemu.get(), [])
say("what the proxy says")

# --- the end -------------------------------------------------------------------------------------

ended(api, pve2.qemu(100).status.stop.post())
ended(api, pve2.qemu(100).delete(purge=1))
ended(api, pve1.qemu(900).delete(purge=1))
root.access.users("tofu@pve").token("t1").delete()
refused(tofu.version.get, 401, "Unauthorized", "Authentication failed!", {"errors": b""})
root.access.users("tofu@pve").delete()
say("nothing is left")
print(json.dumps(counted))
