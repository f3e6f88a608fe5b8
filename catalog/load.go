package catalog

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/ai-token-vault/tokenvault"
)

//go:embed providers/*.yaml
var embedded embed.FS

// Load returns the catalog of the providers that ship with tokenvault and of the
// given YAML files, one provider each. A file must not use the id of a provider
// that ships, nor of an earlier file. The error joins the problems of all files.
func Load(files ...string) (*tokenvault.Catalog, error) {
	shipped, err := fs.Glob(embedded, "providers/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	var all []*source
	for _, name := range shipped {
		all = append(all, &source{name: path.Base(name), origin: "ships with tokenvault", read: func() ([]byte, error) { return embedded.ReadFile(name) }})
	}
	for _, name := range files {
		all = append(all, &source{name: name, origin: "is in " + name, read: func() ([]byte, error) { return os.ReadFile(name) }}) //nolint:gosec // the operator names the files
	}
	var parsing sync.WaitGroup
	for _, s := range all {
		parsing.Go(s.parse) // a start waits for it
	}
	parsing.Wait()
	l := loader{origin: map[string]string{}}
	for _, s := range all {
		l.add(s)
	}
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return tokenvault.NewCatalog(l.providers...)
}

// A source is a file that defines a provider, and the provider once it is parsed.
type source struct {
	name, origin string
	read         func() ([]byte, error)

	provider tokenvault.Provider
	lines    lineIndex
	err      error
}

func (s *source) parse() {
	data, err := s.read()
	if err != nil {
		s.err = fmt.Errorf("provider file %s cannot be read: %w", s.name, err)
		return
	}
	s.provider, s.lines, s.err = parse(s.name, data)
}

type loader struct {
	providers []tokenvault.Provider
	origin    map[string]string // provider id → where it was defined
	problems  []error
}

func (l *loader) add(s *source) {
	if s.err != nil {
		l.problems = append(l.problems, s.err)
		return
	}
	p := s.provider
	problems := Lint(p)
	if first, taken := l.origin[p.ID]; taken {
		problems = append(problems, Problem{"id", "another provider with this id " + first + ": choose another id"})
	}
	for _, problem := range problems {
		l.problems = append(l.problems, at(s.name, s.lines.of(problem.Field), problem.Field, problem.Text))
	}
	l.origin[p.ID] = s.origin
	l.providers = append(l.providers, p)
}
