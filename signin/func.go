package signin

import (
	"net/http"

	"github.com/ai-token-vault/tokenvault"
)

// A Func is an authenticator made of one function. It must be safe for concurrent
// use and return an error wrapping [tokenvault.ErrUnauthenticated] when nobody is
// signed in.
type Func func(*http.Request) (tokenvault.Actor, error)

// Authenticate calls f.
func (f Func) Authenticate(r *http.Request) (tokenvault.Actor, error) { return f(r) }
