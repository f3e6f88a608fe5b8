package catalog

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ai-token-vault/tokenvault"
)

// The providers that ship are written as YAML files and embedded as JSON, which is
// read in a tenth of the time: every start waits for it.
//
//go:generate go test -run ^TestShipped$ -update .

//go:embed shipped.json
var shippedJSON []byte

// shipped returns the providers that ship, in the order of their files.
func shipped() []tokenvault.Provider {
	var all []tokenvault.Provider
	if err := json.Unmarshal(shippedJSON, &all); err != nil {
		panic("catalog: " + err.Error()) // the tests compare it with the files
	}
	return all
}

// Load returns the catalog of the providers that ship with tokenvault and of the
// given YAML files, one provider each. A file must not use the id of a provider
// that ships, nor of an earlier file. The error joins the problems of all files.
func Load(files ...string) (*tokenvault.Catalog, error) {
	var all []*source
	for _, name := range files {
		all = append(all, &source{name: name})
	}
	var parsing sync.WaitGroup
	for _, s := range all {
		parsing.Go(s.parse) // a start waits for it
	}
	parsing.Wait()
	l := loader{origin: map[string]string{}}
	for _, p := range shipped() {
		l.origin[p.ID] = "ships with tokenvault"
		l.providers = append(l.providers, p)
	}
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
	name string

	provider tokenvault.Provider
	lines    lineIndex
	err      error
}

func (s *source) parse() {
	data, err := os.ReadFile(s.name)
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
	l.origin[p.ID] = "is in " + s.name
	l.providers = append(l.providers, p)
}
