package tokenvault

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultTenant is the tenant of a vault that serves one product.
const DefaultTenant = "default"

// An Owner is whom a connection belongs to: a user, in an optional organization.
// An empty UserID means that the organization itself owns it. The tenant is an
// isolation boundary and never a call parameter: the Vault instance, the API key
// or the authenticator fixes it.
type Owner struct {
	Tenant         string
	OrganizationID string // empty: no organization
	UserID         string // empty: owned by the organization
}

// Validate reports a missing tenant, an owner that is nobody, and identifiers
// longer than 255 bytes or with control characters, as a [FieldError].
func (o Owner) Validate() error {
	if o.Tenant == "" {
		return invalid("owner.tenant", "must not be empty")
	}
	if o.OrganizationID == "" && o.UserID == "" {
		return invalid("owner", "needs a userId, an organizationId, or both")
	}
	for field, id := range map[string]string{"owner.tenant": o.Tenant, "owner.organizationId": o.OrganizationID, "owner.userId": o.UserID} {
		if !validID(id) {
			return invalid(field, "must be at most 255 bytes without control characters")
		}
	}
	return nil
}

// Organization returns the owner that stands for the organization itself, and
// whether there is one.
func (o Owner) Organization() (Owner, bool) {
	return Owner{Tenant: o.Tenant, OrganizationID: o.OrganizationID}, o.OrganizationID != ""
}

// Sees reports whether a caller that acts for o may see what belongs to other:
// its own objects and those of its organization.
func (o Owner) Sees(other Owner) bool {
	org, ok := o.Organization()
	return o == other || (ok && org == other)
}

// Covers reports whether deleting o deletes what belongs to other: an organization
// covers its members in it, and a user alone covers itself in every organization.
func (o Owner) Covers(other Owner) bool {
	return o.Tenant == other.Tenant && (o.OrganizationID != "" || o.UserID != "") &&
		(o.OrganizationID == "" || o.OrganizationID == other.OrganizationID) &&
		(o.UserID == "" || o.UserID == other.UserID)
}

func validID(id string) bool {
	return len(id) <= 255 && utf8.ValidString(id) && !strings.ContainsFunc(id, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// An ActorKind says what kind of caller an [Actor] is.
type ActorKind string

// The kinds of callers.
const (
	ActorUser    ActorKind = "user"    // a person, proven by the host's session or by local sign-in
	ActorAgent   ActorKind = "agent"   // a program that needs credentials, bound to one owner
	ActorBackend ActorKind = "backend" // a host's server that may name the owner it acts for
	ActorAdmin   ActorKind = "admin"   // an operator: apps, keys and audit of a tenant
	ActorVisitor ActorKind = "visitor" // a browser whose user the host proves after it came back: see [Options.VerifyURL]
	ActorSystem  ActorKind = "system"  // the vault itself: sweeps and background work
)

// An Actor is an authenticated caller. Every Vault method takes one, so that
// authorization and audit cannot be forgotten.
type Actor struct {
	Kind ActorKind
	// ID names the caller in permissions and audit: the agent's name, the user's
	// id, or the key's id.
	ID string
	// Owner is whom the caller acts for.
	Owner Owner
	// OrgAdmin is true where the host says that the caller administers
	// Owner.OrganizationID.
	OrgAdmin bool
	// Scopes is what the API key opens that the caller came with. Empty: it came
	// without one, and no scope limits it.
	Scopes KeyScopes
}

// Has reports whether no scope keeps the actor from what scope stands for.
func (a Actor) Has(scope KeyScope) bool { return a.Scopes == "" || a.Scopes.Has(scope) }

// need returns a [ScopeError] if the actor's key lacks the scope.
func (a Actor) need(scope KeyScope) error {
	if a.Has(scope) {
		return nil
	}
	return &ScopeError{Scope: scope}
}

// IsAgent reports whether the actor needs permissions to use connections.
func (a Actor) IsAgent() bool { return a.Kind == ActorAgent || a.Kind == ActorBackend }

// MayAdminister reports whether the actor may change the OAuth apps of an
// organization; an empty id stands for the tenant's defaults.
func (a Actor) MayAdminister(tenant, organizationID string) bool {
	if a.Owner.Tenant != tenant {
		return false
	}
	if a.Kind == ActorAdmin {
		return a.Owner.OrganizationID == "" || a.Owner.OrganizationID == organizationID
	}
	return a.OrgAdmin && organizationID != "" && a.Owner.OrganizationID == organizationID
}

// An Authenticator says who sends a request, from the host's own session or from
// a credential of ours. It is what a host application implements to embed the
// vault.
//
// Implementations must be safe for concurrent use. They return an error wrapping
// [ErrUnauthenticated] when nobody is signed in, and must never derive an
// identity from a parameter that a caller can choose.
type Authenticator interface {
	Authenticate(r *http.Request) (Actor, error)
}

// A Challenger is an optional ability of an [Authenticator]: it says where a
// person can sign in. The pages send the browser there, with returnTo (a path
// on the vault's own origin) to come back to.
type Challenger interface {
	SignInURL(returnTo string) string
}

// A Rechecker is an optional ability of an [Authenticator]. While the answer to a
// request takes its time, such as a stream of events, it is asked every few seconds
// whether the request's caller is proven still; other authenticators are asked to
// Authenticate the request again.
//
// Recheck returns what Authenticate did of the same request, and when that ends if
// nothing happens before, zero if that is not known. It spends nothing that can be
// used once only, is cheap, and sees what was revoked since.
type Rechecker interface {
	Recheck(r *http.Request) (caller Actor, until time.Time, err error)
}
