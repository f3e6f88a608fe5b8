//go:build unix

package chromium

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// An account is the user that a browser runs as. Nil: the server's own.
type account struct{ uid, gid uint32 }

// findAccount returns who runs the browsers. Root never does.
func findAccount(name string) (*account, error) {
	if os.Geteuid() != 0 {
		if name == "" {
			return nil, nil
		}
		if u, err := user.Lookup(name); err == nil && u.Uid == strconv.Itoa(os.Geteuid()) {
			return nil, nil
		}
		return nil, errors.New("browsers can run as another user only if the server is started as root: leave browser-user empty")
	}
	if name == "" {
		return nil, errors.New("the server runs as root, and a browser must not: name an unprivileged user as browser-user (" + userFix + ")")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, errors.New("the user that browser-user names does not exist (" + userFix + ")")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if uid == 0 {
		return nil, errors.New("browser-user must not be root")
	}
	return &account{uint32(uid), uint32(gid)}, nil
}

// attributes puts the browser into a process group of its own, as the account and
// without further groups.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(attr)
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// give makes a directory the account's.
func give(dir string, a *account) error {
	if a == nil {
		return nil
	}
	return os.Chown(dir, int(a.uid), int(a.gid))
}

// show lets the account read what is ours.
func show(path string, mode os.FileMode, a *account) error {
	if a == nil {
		return nil
	}
	return errors.Join(os.Chown(path, -1, int(a.gid)), os.Chmod(path, mode))
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// groupGone reports whether no process of the group lives. Those whose parents died
// first may have become ours, if this process is the container's first.
func groupGone(pid int) bool {
	for {
		if reaped, err := syscall.Wait4(-pid, nil, syscall.WNOHANG, nil); err != nil || reaped <= 0 {
			break
		}
	}
	return errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) || onlyZombies(pid)
}

// ownedByUs reports whether a file is the server's own, and no link.
func ownedByUs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
}
