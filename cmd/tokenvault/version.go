package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is the version of this source tree.
const version = "0.1.0-dev"

type versionCmd struct{}

// Run prints version, revision if known, and toolchain.
func (versionCmd) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "tokenvault %s%s %s %s/%s\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return " (" + s.Value[:12] + ")"
		}
	}
	return ""
}
