package signin

import (
	"net/http"

	"github.com/ai-token-vault/tokenvault"
)

// Visitor admits every browser, as nobody in particular: the host proves who it
// was after it came back from the provider (see [tokenvault.Options.VerifyURL]).
// Until then nothing is exchanged, and a visitor is shown nothing personal.
type Visitor struct {
	// Tenant is the tenant of the vault. Default [tokenvault.DefaultTenant].
	Tenant string
}

// Authenticate returns a visitor.
func (v Visitor) Authenticate(*http.Request) (tokenvault.Actor, error) {
	tenant := v.Tenant
	if tenant == "" {
		tenant = tokenvault.DefaultTenant
	}
	return tokenvault.Actor{Kind: tokenvault.ActorVisitor, ID: "visitor", Owner: tokenvault.Owner{Tenant: tenant}}, nil
}
