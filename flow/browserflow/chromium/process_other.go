//go:build unix && !linux

package chromium

import "syscall"

// Only Linux tells a process of its parent's death. Elsewhere the browser notices
// that its pipe is closed.
func dieWithParent(*syscall.SysProcAttr) {}

func killMarked(string) bool { return false }

func onlyZombies(int) bool { return false }

func memory() map[int]int64 { return nil }

func room(string) (free int64, inMemory bool) { return 0, false }

func freeMemory() int64 { return 8 << 30 }
