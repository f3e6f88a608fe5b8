//go:build !linux

package cdp

import "os"

func widen(*os.File) {}
