// Package filelock locks files between processes. A lock belongs to one open file:
// it ends when that file is closed or the process dies.
package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Try locks file for this open file alone, or reports that another one holds a
// lock.
func Try(file *os.File) (bool, error) { return try(file, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// TryShared locks file together with others that share it, or reports that
// somebody holds it alone.
func TryShared(file *os.File) (bool, error) { return try(file, 0) }

func try(file *os.File, how uint32) (bool, error) {
	err := windows.LockFileEx(windows.Handle(file.Fd()), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
