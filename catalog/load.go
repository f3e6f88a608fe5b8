package catalog

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/ai-token-vault/tokenvault"
)

//go:embed providers/*.yaml
var embedded embed.FS

// Load returns the catalog of the providers that ship with tokenvault and of the
// given YAML files, one provider each. A file must not use the id of a provider
// that ships, nor of an earlier file. The error joins the problems of all files.
func Load(files ...string) (*tokenvault.Catalog, error) {
	l := loader{origin: map[string]string{}}
	shipped, err := fs.Glob(embedded, "providers/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	for _, name := range shipped {
		l.add(path.Base(name), "ships with tokenvault", func() ([]byte, error) { return embedded.ReadFile(name) })
	}
	for _, name := range files {
		l.add(name, "is in "+name, func() ([]byte, error) { return os.ReadFile(name) }) //nolint:gosec // the operator names the files
	}
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return tokenvault.NewCatalog(l.providers...)
}

type loader struct {
	providers []tokenvault.Provider
	origin    map[string]string // provider id → where it was defined
	problems  []error
}

func (l *loader) add(name, origin string, read func() ([]byte, error)) {
	data, err := read()
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("provider file %s cannot be read: %w", name, err))
		return
	}
	p, lines, err := parse(name, data)
	if err != nil {
		l.problems = append(l.problems, err)
		return
	}
	problems := Lint(p)
	if first, taken := l.origin[p.ID]; taken {
		problems = append(problems, Problem{"id", "another provider with this id " + first + ": choose another id"})
	}
	for _, problem := range problems {
		l.problems = append(l.problems, at(name, lines.of(problem.Field), problem.Field, problem.Text))
	}
	l.origin[p.ID] = origin
	l.providers = append(l.providers, p)
}
