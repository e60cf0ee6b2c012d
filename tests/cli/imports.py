"""What the tests of `import` share: short samples of every kind, and how to run them."""

from __future__ import annotations

VM_BHYVE = 'loader="uefi"\ncpu=2\nmemory=4G\ndisk0_type="virtio-blk"\n'
EXPORT = (
    "create -b\nset brand=bhyve\nset zonepath=/data/zone/web\nadd attr\nset name=ram\n"
    "set type=string\nset value=4G\nend\nadd net\nset physical=web0\nend\n"
)
INFO = (
    "zonename: web\nzonepath: /data/zone/web\nbrand: bhyve\nautoboot: false\n"
    "attr:\n\tname: vcpus\n\ttype: string\n\tvalue: 2\n"
    "attr:\n\tname: ram\n\ttype: string\n\tvalue: 4G\n"
)
ZADM = '{\n   "brand" : "bhyve",\n   "ram" : "4G",\n   "vcpus" : 2,\n   "zonename" : "web"\n}\n'
VMADM = '{"alias": "web", "brand": "bhyve",\n "ram": 4096,\n "vcpus": 2}\n'
LIBVIRT = (
    "<domain type='bhyve'>\n  <name>web</name>\n  <memory unit='GiB'>4</memory>\n"
    "  <os><loader>/no/such.fd</loader></os>\n</domain>\n"
)
SCRIPT = (
    "#!/bin/sh\nMEM=4G\nbhyvectl --destroy --vm=web\nwhile true; do\n"
    '  sudo bhyve -c 2 -m "$MEM" \\\n    -l bootrom,/no/such.fd web || break\ndone\n'
)
CONFIG = "name=web\nmemory.size=4G\nlpc.bootrom=/no/such.fd\n"
PROPOLIS = '[main]\nname = "web"\nmemory = 4096\nbootrom = "/no/such.fd"\n'
# Every one of them is a VM of 4 GiB with a ROM, named web but where the file names it.
SAMPLES = {
    "vm-bhyve": VM_BHYVE,
    "zonecfg-export": EXPORT,
    "zonecfg-info": INFO,
    "zadm": ZADM,
    "vmadm": VMADM,
    "libvirt": LIBVIRT,
    "script": SCRIPT,
    "bhyve-config": CONFIG,
    "propolis": PROPOLIS,
}
