package catalog

import "github.com/ai-token-vault/tokenvault"

// GitHub returns the definition of GitHub's OAuth that ships with tokenvault, for a
// program that offers it alone, or beside providers of its own, through
// [tokenvault.NewCatalog]. The caller may change what it gets.
func GitHub() tokenvault.Provider {
	const name = "github.yaml"
	data, err := embedded.ReadFile("providers/" + name)
	if err != nil {
		panic(err) // embedded: the build would have failed
	}
	p, _, err := parse(name, data)
	if err != nil {
		panic(err) // the tests parse it
	}
	return p
}
