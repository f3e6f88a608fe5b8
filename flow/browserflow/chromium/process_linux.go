package chromium

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel kill the browser when this process dies, however.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// killMarked kills what is left of the browser of a profile: also what went to a
// group of its own. Renderers overwrite what could tell them; they are of the
// browser's group, and end when it does. It reports whether there was any that lives.
func killMarked(dir string) (found bool) {
	eachProcess(func(pid int, proc string) {
		if !marked(proc, dir) {
			return
		}
		state, group := stat(proc)
		if group == pid {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		found = found || group != 0 && state != "Z" && state != "X"
	})
	return found
}

// marked reports whether a process names the profile as its own.
func marked(proc, dir string) bool {
	command, err := os.ReadFile(filepath.Join(proc, "cmdline")) //nolint:gosec // below /proc
	if err == nil && bytes.Contains(command, []byte("--user-data-dir="+dir)) {
		return true
	}
	env, err := os.ReadFile(filepath.Join(proc, "environ")) //nolint:gosec // below /proc
	return err == nil && bytes.HasPrefix(env, []byte("HOME="+dir+"\x00"))
}

// memory returns what the processes of each group hold that the kernel could not
// drop: anonymous and shared memory, by group.
func memory() map[int]int64 {
	held := make(map[int]int64)
	eachProcess(func(_ int, proc string) {
		_, group := stat(proc)
		status, err := os.ReadFile(filepath.Join(proc, "status")) //nolint:gosec // below /proc
		if err != nil {
			return
		}
		for line := range strings.Lines(string(status)) {
			name, rest, _ := strings.Cut(line, ":")
			if name != "RssAnon" && name != "RssShmem" {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				held[group] += kib << 10
			}
		}
	})
	return held
}

// onlyZombies reports whether all of a group wait for nothing but their parent, which
// may take its time.
func onlyZombies(group int) bool {
	only := true
	eachProcess(func(_ int, proc string) {
		if state, of := stat(proc); of == group && state != "Z" && state != "X" {
			only = false
		}
	})
	return only
}

// stat reads state and process group from /proc/PID/stat, whose second field is a name
// in parentheses that may hold anything. The group of a process that is gone is 0.
func stat(proc string) (state string, group int) {
	text, err := os.ReadFile(filepath.Join(proc, "stat")) //nolint:gosec // below /proc
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // state, parent, group, …
	if len(fields) < 3 {
		return "", 0
	}
	group, _ = strconv.Atoi(fields[2])
	return fields[0], group
}

func eachProcess(visit func(pid int, proc string)) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			visit(pid, filepath.Join("/proc", e.Name()))
		}
	}
}

// freeMemory returns the bytes that the machine can give away.
func freeMemory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// room returns the free bytes of the file system of dir, and whether it is in
// memory.
func room(dir string) (free int64, inMemory bool) {
	const tmpfs = 0x01021994
	var stat syscall.Statfs_t
	if syscall.Statfs(dir, &stat) != nil {
		return 0, false
	}
	return int64(stat.Bavail) * stat.Bsize, stat.Type == tmpfs //nolint:gosec // no file system is that large
}
