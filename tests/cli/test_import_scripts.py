"""bhyvesim import: shell scripts that call bhyve. None of them is run."""

from __future__ import annotations

import pytest

SH = "#!/bin/sh\n"


@pytest.mark.parametrize(
    "call",
    [
        "bhyve -m 4G web",
        "/usr/sbin/bhyve -m 4G web",
        "sudo bhyve -m 4G web",
        "exec nohup /usr/sbin/bhyve -AHP -m4G web &",
        "if ! bhyve -AHm 4G web; then exit 1; fi",
        "while true; do bhyve -m 4G web || break; done",
        "start() { bhyve -m 4G web; }\nstart",
        "function start {\n\tbhyve -m 4G web\n}",
        "case $1 in start) bhyve -m 4G web ;; *) echo 'bhyve -m 9G' ;; esac",
        "( cd / && bhyve -m 4G web ) > /tmp/log 2>&1 < /dev/null",
        "bhyve -m '4G' \"web\"",
        "bhyve \\\n  -m 4G \\\n  web # bhyve -m 9G",
        "sh -c 'bhyve -m 4G web'",
        'tmux new-session -d "sudo bhyve -m 4G web"',
        "env A=b bhyve -m 4G web | tee log",
        "bhyve -m 4G -- web",
        "bhyve -m 4096 web",
        "cat <<EOF\nbhyve -m 9G x\nEOF\nbhyve -m 4G web",
        "cat <<-'EOF' > x\n\tbhyve -m 9G x\n\tEOF\nbhyve -m 4G web",
        "bhyve -h || exit; bhyve -s help | grep virtio; bhyve -m 4G web",
        "echo bhyve -m 9G; pkill bhyve; bhyve -m 4G web",
        "run_logged bhyve -m 4G web",
    ],
)
def test_a_call_is_found_wherever_it_stands(imported, call):
    vm, _, _ = imported(SH + call + "\n")
    assert (vm["name"], vm["memory"]) == ("web", "4G")


@pytest.mark.parametrize(
    "text",
    [
        "MEM=4G\nbhyve -m $MEM web",
        "MEM=4\nMEM=${MEM}G\nbhyve -m $MEM web",
        "MEM='4G'; NAME=web\nbhyve -m ${MEM} $NAME",
        'export MEM="4G"\nbhyve -m "${MEM}" web',
        "readonly N=4 U=G\nMEM=$N$U\nbhyve -m $MEM web",
        "OPTS='-A -m 4G'\nbhyve $OPTS web",
        "BHYVE=/usr/sbin/bhyve\n$BHYVE -m 4G web",
        "MEM=2G\nMEM=4G\nbhyve -m $MEM web",
        "if true; then MEM=4G; else MEM=4G; fi\nMEM=4G\nbhyve -m $MEM web",
        ". /etc/rc.subr\nMEM=4G\nbhyve -m $MEM web",
        "start() { bhyve -m $MEM web; }\nMEM=4G\nstart",
        "start() {\n local MEM=4G\n bhyve -m $MEM web\n}\nstop() { MEM=9G; }\n",
        "CPU=$(nproc)\nbhyve -c $CPU -s 3,virtio-blk,$DISK -m 4G web",
        "for i in a b; do bhyve -m 4G -s 3,virtio-net,$i web; done",
    ],
)
def test_plain_variables_are_expanded(imported, text):
    vm, _, _ = imported(SH + text + "\n")
    assert (vm["name"], vm["memory"]) == ("web", "4G")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bhyve -m $1 web", "2: $1 is given when the script runs: expected -m with a value"),
        ("MEM=$1\nbhyve -m $MEM web", "3: $MEM: $1 is given when the script runs"),
        ("MEM=${1:-4G}\nbhyve -m $MEM web", "3: $MEM: ${1:-4G} is known only when"),
        ("MEM=$(cat mem)\nbhyve -m $MEM web", "3: $MEM: $(cat mem) is known only when"),
        ("MEM=`cat mem`\nbhyve -m $MEM web", "3: $MEM: `cat mem` is known only when"),
        ("bhyve -m $MEM web", "2: $MEM is set nowhere in this file"),
        (". ./vm.conf\nbhyve -m $MEM web", "3: $MEM is set nowhere in this file"),
        ("MEM=4G\n. ./vm.conf\nbhyve -m $MEM web", "4: $MEM: '.' on line 3 may set it"),
        ("MEM=4G\nread MEM\nbhyve -m $MEM web", "4: $MEM is set by 'read' on line 3"),
        ("for MEM in 1G 2G; do bhyve -m $MEM a; done", "2: $MEM is set by 'for' on line 2"),
        ("MEM=4\nMEM+=G\nbhyve -m $MEM web", "4: $MEM is put together by +="),
        ("MEM=$MEM\nbhyve -m $MEM web", "3: $MEM is set nowhere in this file"),
        ("A=$B\nB=$A\nf() { bhyve -m $A web; }", "4: $A: $B"),
        (
            "if x; then MEM=4G; else MEM=8G; fi\nbhyve -m $MEM web",
            "3: $MEM may be '8G' (line 2) or '4G' (line 2)",
        ),
        ("MEM=4G\n[ -n $1 ] && MEM=8G\nbhyve -m $MEM web", "4: $MEM may be '8G' (line 3) or '4G'"),
        ("x && MEM=4G\nbhyve -m $MEM web", "3: $MEM is set only under a condition"),
        ("big() { MEM=8G; }\nMEM=4G\nbig\nMEM=$MEM\nbhyve -m 4X web", "6: the memory size '4X'"),
        ("MEM=4G\nbig() { MEM=8G; }\nbig\nbhyve -m $MEM web", "5: $MEM may be"),
        ("MEM=4G bhyve -m $MEM web", "2: $MEM is set nowhere in this file"),
        ('args=(-m 4G)\nbhyve "${args[@]}" web', "3: ${args[@]} is known only when"),
        ("bhyve -m 4G $EXTRA web", "2: $EXTRA is set nowhere in this file"),
        ('exec bhyve -m 4G "$@"  web', "2: $@ is given when the script runs"),
        ("bhyve -m 4G -l $LPC web", "2: $LPC is set nowhere"),
        ("bhyve -m 4G -o $KEY web", "2: $KEY is set nowhere"),
        ("bhyve -m 4G -s $SLOT web", "2: $SLOT is set nowhere"),
        ("bhyve -A web", "2: no memory is given in what seems to be a call of bhyve: expected -m"),
        ("bhyve -m 4G -m 8G web", "2: memory.size is '8G' here and '4G' on line 2"),
        ("bhyve -m 4G -o memory.size=8G web", "2: memory.size is '8G' here"),
        ("bhyve -k vm.conf web", "2: the memory may stand in the file of -k 'vm.conf'"),
        ("bhyve -m 4G -n id=0,size=2G web", "2: 'id=0,size=2G' gives a NUMA domain memory"),
        ("bhyve -Z web", "2: option -Z is not bhyve's"),
        ("# bhyve -m 4G web\nls", "1: a script that calls no bhyve"),
        ("echo bhyve -m 4G web", "2: bhyve is named here, but not called"),
        ("cat <<EOF\nbhyve -m 4G x\nEOF", "3: bhyve is named here, but not called"),
        ("echo 'x\nbhyve -m 4G x", "2: a ' that is never closed"),
        ('echo "x\nbhyve -m 4G x', '2: a " that is never closed'),
        ("echo $(x\nbhyve -m 4G x", "2: a bracket that is never closed"),
        ("bhyveload -m 1G -d x web\nbhyve -m 4G web", "3: bhyve's memory is not that of bhyveload"),
        ("grub-bhyve -M 1G web\nbhyve -m 4G web", "3: bhyve's memory is not that of grub-bhyve"),
    ],
)
def test_what_the_file_does_not_settle_is_refused(refused, text, message):
    assert refused(SH + text + "\n").startswith(message)


def test_a_loader_of_the_same_size_or_of_another_vm_is_fine(imported):
    loads = "bhyveload -m 4096M -d x web\nbhyveload -m 1G db\ngrub-bhyve -m map -M 4G web\n"
    assert imported(SH + f"{loads}bhyve -m 4G web\n")[0]["memory"] == "4G"


def test_a_configuration_file_beside_m_is_told_of(imported):
    _, _, err = imported(SH + "bhyve -k vm.conf -m 4G web\n")
    assert "the file of -k 'vm.conf' is not read: it may give a ROM or wired memory" in err


def test_several_calls_are_listed_and_one_is_picked(imported, refused):
    text = "bhyve -m 1G a &\nbhyve -m 2G b &\nbhyve -m $1 c\n"
    listed = "1 (line 2: a, 1G), 2 (line 3: b, 2G), 3 (line 4: unreadable)"
    assert refused(SH + text).startswith(f"2: 3 VMs: expected --pick with one of {listed}; or all")
    assert imported(SH + text, "--pick", "2")[0] == {
        "name": "b",
        "vmm": "bhyve",
        "memory": "2G",
        "bootrom": 0,
    }


def test_two_calls_for_the_same_vm_are_one(imported):
    text = "bhyve -m 1G -s 3,ahci-cd,x.iso a\nbhyve -m 1024M a\n"
    assert imported(SH + text)[0]["memory"] == "1G"


def test_a_name_that_is_not_known_is_the_files(imported):
    assert imported(SH + "bhyve -m 1G $1\n")[0]["name"] == "foreign"


def test_roms_wired_memory_and_framebuffers(imported):
    vm, out, _ = imported(SH + "FW=/no\nbhyve -S -s 29,fbuf -l bootrom,$FW/x.fd,vars -m 1G a\n")
    assert [m.get("wired") for m in vm["mappings"]] == [True, None, None]
    assert [s["name"] for s in vm["segments"]] == ["sysmem", "bootrom", "framebuffer"]
    assert "# The variable store of the ROM is trapped MMIO, and not mapped." in out


def test_variables_that_double_each_other_come_to_an_end(refused):
    doubling = "".join(f"A{i}=$A{i + 1}$A{i + 1}\n" for i in range(60))
    assert "stands for itself" in refused(SH + f"f() {{\n{doubling}A60=\nbhyve -m $A0 x\n}}\n")


@pytest.mark.parametrize(("times", "said"), [(8, "the memory size"), (9, "$M grows without end")])
def test_a_variable_has_its_bound(cli, vm_file, times, said):
    script = "#!/bin/sh\nM=0123456789abcdef\n" + 'M="$M$M"\n' * times + "bhyve -m $M web\n"
    status, out, err = cli("import", vm_file(script, "start.sh"))
    assert (status, out) == (2, "")
    assert said in err
