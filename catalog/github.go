package catalog

import "github.com/ai-token-vault/tokenvault"

// GitHub returns the definition of GitHub's OAuth that ships with tokenvault, for a
// program that offers it alone, or beside providers of its own, through
// [tokenvault.NewCatalog]. The caller may change what it gets.
func GitHub() tokenvault.Provider {
	for _, p := range shipped() {
		if p.ID == "github" {
			return p
		}
	}
	panic("catalog: github does not ship") // the tests look for it
}
