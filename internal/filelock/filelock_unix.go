//go:build unix

// Package filelock locks files between processes. A lock belongs to one open file:
// it ends when that file is closed or the process dies.
package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Try locks file for this open file alone, or reports that another one holds a
// lock.
func Try(file *os.File) (bool, error) { return try(file, unix.LOCK_EX) }

// TryShared locks file together with others that share it, or reports that
// somebody holds it alone.
func TryShared(file *os.File) (bool, error) { return try(file, unix.LOCK_SH) }

func try(file *os.File, how int) (bool, error) {
	err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	return err == nil, err
}
