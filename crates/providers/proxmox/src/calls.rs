//! Written by `cargo run -p xtask -- SCHEMA > crates/providers/proxmox/src/calls.rs`; not by hand.
//! Every operation that this provider can ask for, with the parameters that it can pass.

use crate::call::{Indexed, Kind, calls};

calls! {
    GetVersion GET "/version" () {}
    GetPermissions GET "/access/permissions" () {
        path "path" 804: Option<String>;
    }
    GetPools GET "/pools" () {
        poolid "poolid" 804: Option<String>;
    }
    PutPools PUT "/pools" () {
        poolid "poolid" 804: String;
        vms "vms" 804: Option<String>;
    }
    GetResources GET "/cluster/resources" () {
        kind "type" 804: Option<String>;
    }
    GetClusterStatus GET "/cluster/status" () {}
    GetNextId GET "/cluster/nextid" () {
        vmid "vmid" 804: Option<u32>;
    }
    GetClusterFirewall GET "/cluster/firewall/options" () {}
    PostHaResource POST "/cluster/ha/resources" () {
        sid "sid" 804: String;
        state "state" 804: Option<String>;
    }
    PutHaResource PUT "/cluster/ha/resources/{sid}" (sid: String) {
        state "state" 804: Option<String>;
    }
    DeleteHaResource DELETE "/cluster/ha/resources/{sid}" (sid: String) {
        purge "purge" 901: Option<bool>;
    }
    GetPciMappings GET "/cluster/mapping/pci" () {}
    GetZones GET "/cluster/sdn/zones" () {}
    GetVnets GET "/cluster/sdn/vnets" () {
        pending "pending" 804: Option<bool>;
    }
    PostVnet POST "/cluster/sdn/vnets" () {
        vnet "vnet" 804: String;
        zone "zone" 804: String;
        tag "tag" 804: Option<u32>;
        alias "alias" 804: Option<String>;
        lock_token "lock-token" 900: Option<String>;
    }
    DeleteVnet DELETE "/cluster/sdn/vnets/{vnet}" (vnet: String) {
        lock_token "lock-token" 900: Option<String>;
    }
    PostSdnLock POST "/cluster/sdn/lock" () {
        allow_pending "allow-pending" 804: Option<bool>;
    }
    DeleteSdnLock DELETE "/cluster/sdn/lock" () {
        lock_token "lock-token" 804: Option<String>;
        force "force" 804: Option<bool>;
    }
    PostSdnRollback POST "/cluster/sdn/rollback" () {
        lock_token "lock-token" 804: Option<String>;
        release_lock "release-lock" 804: Option<bool>;
    }
    PutSdn PUT "/cluster/sdn" () {
        lock_token "lock-token" 900: Option<String>;
        release_lock "release-lock" 900: Option<bool>;
    }
    GetNodeVersion GET "/nodes/{node}/version" (node: String) {}
    GetNodeTime GET "/nodes/{node}/time" (node: String) {}
    GetNodeNetwork GET "/nodes/{node}/network" (node: String) {
        kind "type" 804: Option<String>;
    }
    GetNodeZones GET "/nodes/{node}/sdn/zones" (node: String) {}
    GetTasks GET "/nodes/{node}/tasks" (node: String) {
        source "source" 804: Option<String>;
        vmid "vmid" 804: Option<u32>;
        typefilter "typefilter" 804: Option<String>;
        limit "limit" 804: Option<u32>;
    }
    GetTaskStatus GET "/nodes/{node}/tasks/{upid}/status" (node: String, upid: String) {}
    GetTaskLog GET "/nodes/{node}/tasks/{upid}/log" (node: String, upid: String) {
        start "start" 804: Option<u32>;
        limit "limit" 804: Option<u32>;
    }
    GetContent GET "/nodes/{node}/storage/{storage}/content" (node: String, storage: String) {
        content "content" 804: Option<String>;
        vmid "vmid" 804: Option<u32>;
    }
    DeleteContent DELETE "/nodes/{node}/storage/{storage}/content/{volume}" (node: String, storage: String, volume: String) {}
    PostDownload POST "/nodes/{node}/storage/{storage}/download-url" (node: String, storage: String) {
        url "url" 804: String;
        filename "filename" 804: String;
        content "content" 804: String;
        checksum "checksum" 804: Option<String>;
        checksum_algorithm "checksum-algorithm" 804: Option<String>;
    }
    PostUpload POST "/nodes/{node}/storage/{storage}/upload" (node: String, storage: String) {
        content "content" 804: String;
        filename "filename" 804: String;
    }
    PostMachine POST "/nodes/{node}/qemu" (node: String) {
        vmid "vmid" 804: u32;
        agent "agent" 804: Option<String>;
        boot "boot" 804: Option<String>;
        cores "cores" 804: Option<u32>;
        cpu "cpu" 804: Option<String>;
        description "description" 804: Option<String>;
        memory "memory" 804: Option<String>;
        name "name" 804: Option<String>;
        ostype "ostype" 804: Option<String>;
        pool "pool" 804: Option<String>;
        scsi "scsi" 804: Indexed;
        scsihw "scsihw" 804: Option<String>;
        serial "serial" 804: Indexed;
        tags "tags" 804: Option<String>;
    }
    PostContainer POST "/nodes/{node}/lxc" (node: String) {
        vmid "vmid" 804: u32;
        ostemplate "ostemplate" 804: String;
        cores "cores" 804: Option<u32>;
        description "description" 804: Option<String>;
        features "features" 804: Option<String>;
        hostname "hostname" 804: Option<String>;
        memory "memory" 804: Option<u32>;
        nameserver "nameserver" 804: Option<String>;
        net "net" 804: Indexed;
        onboot "onboot" 804: Option<bool>;
        pool "pool" 804: Option<String>;
        rootfs "rootfs" 804: Option<String>;
        ssh_public_keys "ssh-public-keys" 804: Option<String>;
        swap "swap" 804: Option<u32>;
        tags "tags" 804: Option<String>;
        unprivileged "unprivileged" 804: Option<bool>;
    }
    GetConfig GET "/nodes/{node}/{kind}/{vmid}/config" (node: String, kind: Kind, vmid: u32) {}
    PutMachineConfig PUT "/nodes/{node}/qemu/{vmid}/config" (node: String, vmid: u32) {
        agent "agent" 804: Option<String>;
        boot "boot" 804: Option<String>;
        cipassword "cipassword" 804: Option<String>;
        ciuser "ciuser" 804: Option<String>;
        cores "cores" 804: Option<u32>;
        cpu "cpu" 804: Option<String>;
        delete "delete" 804: Option<String>;
        description "description" 804: Option<String>;
        digest "digest" 804: Option<String>;
        hostpci "hostpci" 804: Indexed;
        ide "ide" 804: Indexed;
        ipconfig "ipconfig" 804: Indexed;
        machine "machine" 804: Option<String>;
        memory "memory" 804: Option<String>;
        name "name" 804: Option<String>;
        nameserver "nameserver" 804: Option<String>;
        net "net" 804: Indexed;
        onboot "onboot" 804: Option<bool>;
        ostype "ostype" 804: Option<String>;
        scsi "scsi" 804: Indexed;
        scsihw "scsihw" 804: Option<String>;
        serial "serial" 804: Indexed;
        sockets "sockets" 804: Option<u32>;
        sshkeys "sshkeys" 804: Option<String>;
        tags "tags" 804: Option<String>;
    }
    PostMachineConfig POST "/nodes/{node}/qemu/{vmid}/config" (node: String, vmid: u32) {
        delete "delete" 804: Option<String>;
        digest "digest" 804: Option<String>;
        scsi "scsi" 804: Indexed;
    }
    PutContainerConfig PUT "/nodes/{node}/lxc/{vmid}/config" (node: String, vmid: u32) {
        cores "cores" 804: Option<u32>;
        delete "delete" 804: Option<String>;
        description "description" 804: Option<String>;
        digest "digest" 804: Option<String>;
        hostname "hostname" 804: Option<String>;
        memory "memory" 804: Option<u32>;
        nameserver "nameserver" 804: Option<String>;
        net "net" 804: Indexed;
        onboot "onboot" 804: Option<bool>;
        tags "tags" 804: Option<String>;
    }
    GetStatus GET "/nodes/{node}/{kind}/{vmid}/status/current" (node: String, kind: Kind, vmid: u32) {}
    PostStart POST "/nodes/{node}/{kind}/{vmid}/status/start" (node: String, kind: Kind, vmid: u32) {}
    PostStop POST "/nodes/{node}/{kind}/{vmid}/status/stop" (node: String, kind: Kind, vmid: u32) {
        overrule_shutdown "overrule-shutdown" 804: Option<bool>;
    }
    PostShutdown POST "/nodes/{node}/{kind}/{vmid}/status/shutdown" (node: String, kind: Kind, vmid: u32) {
        timeout "timeout" 804: Option<u32>;
        force_stop "forceStop" 804: Option<bool>;
    }
    PostReboot POST "/nodes/{node}/{kind}/{vmid}/status/reboot" (node: String, kind: Kind, vmid: u32) {
        timeout "timeout" 804: Option<u32>;
    }
    PostReset POST "/nodes/{node}/qemu/{vmid}/status/reset" (node: String, vmid: u32) {}
    PutResize PUT "/nodes/{node}/{kind}/{vmid}/resize" (node: String, kind: Kind, vmid: u32) {
        disk "disk" 804: String;
        size "size" 804: String;
        digest "digest" 804: Option<String>;
    }
    PostClone POST "/nodes/{node}/qemu/{vmid}/clone" (node: String, vmid: u32) {
        newid "newid" 804: u32;
        name "name" 804: Option<String>;
        description "description" 804: Option<String>;
        pool "pool" 804: Option<String>;
        full "full" 804: Option<bool>;
        storage "storage" 804: Option<String>;
        target "target" 804: Option<String>;
    }
    PostTemplate POST "/nodes/{node}/qemu/{vmid}/template" (node: String, vmid: u32) {}
    DeleteGuest DELETE "/nodes/{node}/{kind}/{vmid}" (node: String, kind: Kind, vmid: u32) {
        purge "purge" 804: Option<bool>;
        destroy_unreferenced_disks "destroy-unreferenced-disks" 804: Option<bool>;
    }
    GetMigrate GET "/nodes/{node}/{kind}/{vmid}/migrate" (node: String, kind: Kind, vmid: u32) {
        target "target" 804: Option<String>;
    }
    PostMachineMigrate POST "/nodes/{node}/qemu/{vmid}/migrate" (node: String, vmid: u32) {
        target "target" 804: String;
        online "online" 804: Option<bool>;
        with_local_disks "with-local-disks" 804: Option<bool>;
        targetstorage "targetstorage" 804: Option<String>;
    }
    PostContainerMigrate POST "/nodes/{node}/lxc/{vmid}/migrate" (node: String, vmid: u32) {
        target "target" 804: String;
        restart "restart" 804: Option<bool>;
        target_storage "target-storage" 804: Option<String>;
    }
    PutFirewallOptions PUT "/nodes/{node}/{kind}/{vmid}/firewall/options" (node: String, kind: Kind, vmid: u32) {
        enable "enable" 804: Option<bool>;
        ipfilter "ipfilter" 804: Option<bool>;
        macfilter "macfilter" 804: Option<bool>;
        policy_in "policy_in" 804: Option<String>;
        policy_out "policy_out" 804: Option<String>;
    }
    GetFirewallOptions GET "/nodes/{node}/{kind}/{vmid}/firewall/options" (node: String, kind: Kind, vmid: u32) {}
    GetIpsets GET "/nodes/{node}/{kind}/{vmid}/firewall/ipset" (node: String, kind: Kind, vmid: u32) {}
    PostIpset POST "/nodes/{node}/{kind}/{vmid}/firewall/ipset" (node: String, kind: Kind, vmid: u32) {
        name "name" 804: String;
        comment "comment" 804: Option<String>;
    }
    GetIpset GET "/nodes/{node}/{kind}/{vmid}/firewall/ipset/{name}" (node: String, kind: Kind, vmid: u32, name: String) {}
    PostIpsetEntry POST "/nodes/{node}/{kind}/{vmid}/firewall/ipset/{name}" (node: String, kind: Kind, vmid: u32, name: String) {
        cidr "cidr" 804: String;
    }
    DeleteIpsetEntry DELETE "/nodes/{node}/{kind}/{vmid}/firewall/ipset/{name}/{cidr}" (node: String, kind: Kind, vmid: u32, name: String, cidr: String) {}
    PostScreenProxy POST "/nodes/{node}/{kind}/{vmid}/vncproxy" (node: String, kind: Kind, vmid: u32) {
        websocket "websocket" 804: Option<bool>;
    }
    PostTerminalProxy POST "/nodes/{node}/{kind}/{vmid}/termproxy" (node: String, kind: Kind, vmid: u32) {}
    GetConsoleSocket GET "/nodes/{node}/{kind}/{vmid}/vncwebsocket" (node: String, kind: Kind, vmid: u32) {
        port "port" 804: u32;
        vncticket "vncticket" 804: String;
    }
}

/// Every operation that this provider can ask for: method and path.
#[rustfmt::skip]
pub const CALLS: &[(&str, &str)] = &[
    ("GET", "/version"),
    ("GET", "/access/permissions"),
    ("GET", "/pools"),
    ("PUT", "/pools"),
    ("GET", "/cluster/resources"),
    ("GET", "/cluster/status"),
    ("GET", "/cluster/nextid"),
    ("GET", "/cluster/firewall/options"),
    ("POST", "/cluster/ha/resources"),
    ("PUT", "/cluster/ha/resources/{sid}"),
    ("DELETE", "/cluster/ha/resources/{sid}"),
    ("GET", "/cluster/mapping/pci"),
    ("GET", "/cluster/sdn/zones"),
    ("GET", "/cluster/sdn/vnets"),
    ("POST", "/cluster/sdn/vnets"),
    ("DELETE", "/cluster/sdn/vnets/{vnet}"),
    ("POST", "/cluster/sdn/lock"),
    ("DELETE", "/cluster/sdn/lock"),
    ("POST", "/cluster/sdn/rollback"),
    ("PUT", "/cluster/sdn"),
    ("GET", "/nodes/{node}/version"),
    ("GET", "/nodes/{node}/time"),
    ("GET", "/nodes/{node}/network"),
    ("GET", "/nodes/{node}/sdn/zones"),
    ("GET", "/nodes/{node}/tasks"),
    ("GET", "/nodes/{node}/tasks/{upid}/status"),
    ("GET", "/nodes/{node}/tasks/{upid}/log"),
    ("GET", "/nodes/{node}/storage/{storage}/content"),
    ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}"),
    ("POST", "/nodes/{node}/storage/{storage}/download-url"),
    ("POST", "/nodes/{node}/storage/{storage}/upload"),
    ("POST", "/nodes/{node}/qemu"),
    ("POST", "/nodes/{node}/lxc"),
    ("GET", "/nodes/{node}/qemu/{vmid}/config"),
    ("GET", "/nodes/{node}/lxc/{vmid}/config"),
    ("PUT", "/nodes/{node}/qemu/{vmid}/config"),
    ("POST", "/nodes/{node}/qemu/{vmid}/config"),
    ("PUT", "/nodes/{node}/lxc/{vmid}/config"),
    ("GET", "/nodes/{node}/qemu/{vmid}/status/current"),
    ("GET", "/nodes/{node}/lxc/{vmid}/status/current"),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/start"),
    ("POST", "/nodes/{node}/lxc/{vmid}/status/start"),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/stop"),
    ("POST", "/nodes/{node}/lxc/{vmid}/status/stop"),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown"),
    ("POST", "/nodes/{node}/lxc/{vmid}/status/shutdown"),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/reboot"),
    ("POST", "/nodes/{node}/lxc/{vmid}/status/reboot"),
    ("POST", "/nodes/{node}/qemu/{vmid}/status/reset"),
    ("PUT", "/nodes/{node}/qemu/{vmid}/resize"),
    ("PUT", "/nodes/{node}/lxc/{vmid}/resize"),
    ("POST", "/nodes/{node}/qemu/{vmid}/clone"),
    ("POST", "/nodes/{node}/qemu/{vmid}/template"),
    ("DELETE", "/nodes/{node}/qemu/{vmid}"),
    ("DELETE", "/nodes/{node}/lxc/{vmid}"),
    ("GET", "/nodes/{node}/qemu/{vmid}/migrate"),
    ("GET", "/nodes/{node}/lxc/{vmid}/migrate"),
    ("POST", "/nodes/{node}/qemu/{vmid}/migrate"),
    ("POST", "/nodes/{node}/lxc/{vmid}/migrate"),
    ("PUT", "/nodes/{node}/qemu/{vmid}/firewall/options"),
    ("PUT", "/nodes/{node}/lxc/{vmid}/firewall/options"),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/options"),
    ("GET", "/nodes/{node}/lxc/{vmid}/firewall/options"),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/ipset"),
    ("GET", "/nodes/{node}/lxc/{vmid}/firewall/ipset"),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/ipset"),
    ("POST", "/nodes/{node}/lxc/{vmid}/firewall/ipset"),
    ("GET", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}"),
    ("GET", "/nodes/{node}/lxc/{vmid}/firewall/ipset/{name}"),
    ("POST", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}"),
    ("POST", "/nodes/{node}/lxc/{vmid}/firewall/ipset/{name}"),
    ("DELETE", "/nodes/{node}/qemu/{vmid}/firewall/ipset/{name}/{cidr}"),
    ("DELETE", "/nodes/{node}/lxc/{vmid}/firewall/ipset/{name}/{cidr}"),
    ("POST", "/nodes/{node}/qemu/{vmid}/vncproxy"),
    ("POST", "/nodes/{node}/lxc/{vmid}/vncproxy"),
    ("POST", "/nodes/{node}/qemu/{vmid}/termproxy"),
    ("POST", "/nodes/{node}/lxc/{vmid}/termproxy"),
    ("GET", "/nodes/{node}/qemu/{vmid}/vncwebsocket"),
    ("GET", "/nodes/{node}/lxc/{vmid}/vncwebsocket"),
];
