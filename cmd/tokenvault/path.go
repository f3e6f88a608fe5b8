package main

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// errNoHome says that nobody knows where "~" is.
var errNoHome = errors.New(`"~" is unknown: set HOME, or write the path out`)

// decodePath reads the value of a setting that is a path, or a list of them: "~" is
// the home directory, and other paths begin where the program was started. It stands
// in for kong's own, which looks "~" up in the system's list of accounts and passes
// over HOME.
func decodePath(ctx *kong.DecodeContext, target reflect.Value) error {
	if target.Kind() == reflect.Slice {
		lists := kong.NewRegistry().RegisterDefaults().RegisterName("path", kong.MapperFunc(decodePath))
		if err := lists.ForType(target.Type()).Decode(ctx, target); err != nil {
			return err
		}
		for i := range target.Len() { // those of a list in a file come as they stand there
			if err := setPath(target.Index(i), target.Index(i).String()); err != nil {
				return err
			}
		}
		return nil
	}
	var path string
	if err := ctx.Scan.PopValueInto("file", &path); err != nil {
		return err
	}
	return setPath(target, path)
}

func setPath(target reflect.Value, path string) error {
	path, err := expand(path)
	if err == nil {
		target.SetString(path)
	}
	return err
}

// expand makes a path absolute. Nothing stays nothing, and "-" a stream.
func expand(path string) (string, error) {
	if path == "" || path == "-" {
		return path, nil
	}
	rest, below := strings.CutPrefix(path, "~")
	if !below || rest != "" && rest[0] != '/' {
		return filepath.Abs(path)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		account, err := user.Current()
		if err != nil || account.HomeDir == "" {
			return "", errNoHome
		}
		home = account.HomeDir
	}
	return filepath.Abs(filepath.Join(home, rest))
}
