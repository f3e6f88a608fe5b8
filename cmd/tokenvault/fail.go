package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ai-token-vault/tokenvault"
)

// fail prints the error and returns the status to exit with.
func fail(w io.Writer, err error) int {
	if failed, ok := errors.AsType[*checksError](err); ok {
		_, _ = fmt.Fprintln(w, failed.Error())
		return 1
	}
	text := err.Error()
	if field, ok := errors.AsType[*tokenvault.FieldError](err); ok && text == field.Error() {
		text = flagOf(field.Field) + ": " + field.Reason
	}
	_, _ = fmt.Fprintln(w, "tokenvault: error:", keyText.ReplaceAllString(text, "tv_…"))
	return 1
}

// keyText is the text of an API key, also of one that is damaged: an error says what
// was typed by mistake, and that must not be one.
var keyText = regexp.MustCompile(`\btv_[a-z2-7]{26}_[a-z0-9_]+`)

// flagOf returns the flag that sets a field of the vault's input.
func flagOf(field string) string {
	switch field {
	case "clientId":
		return "--client-id"
	case "clientSecret":
		return "--secret-file"
	case "owner":
		return "--user, --organization"
	case "owner.userId":
		return "--user"
	case "owner.organizationId", "organizationId":
		return "--organization"
	case "key":
		return "--api-key-file"
	case "providerId":
		return "provider"
	case "olderThan":
		return "--older-than"
	case "scopes", "server", "ttl", "file":
		return "--" + field
	}
	return field
}

// explainUsage adds to an error of the command line where its usage is told.
func explainUsage(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return cannotRead("config", failed)
	}
	if _, ok := errors.AsType[*configError](err); ok {
		return err
	}
	command := "tokenvault"
	if failed, ok := errors.AsType[*kong.ParseError](err); ok && failed.Context != nil {
		if selected := failed.Context.Selected(); selected != nil {
			command += " " + commandOf(selected)
		}
	}
	return fmt.Errorf("%w: see '%s --help'", err, command)
}

// commandOf returns the words that select a command.
func commandOf(node *kong.Node) string {
	var words []string
	for ; node.Parent != nil; node = node.Parent {
		words = append([]string{node.Name}, words...)
	}
	return strings.Join(words, " ")
}

// cannotRead is the error of a file that a flag names.
func cannotRead(flag string, err error) error {
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s cannot be read (%w): name another with --%s", failed.Path, failed.Err, flag)
}
