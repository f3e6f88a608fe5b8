package tokenvault

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A KeyAuth describes a provider whose credentials a person enters into a form of
// ours: an API key, a name and a password, or whatever else the service issues.
//
// Its templates are text in which "{name}" stands for the value of the field with
// that name.
type KeyAuth struct {
	// Fields are what the form asks for, in order. All have to be filled in.
	Fields []KeyField `json:"fields" yaml:"fields"`
	// Inject is how a request is authorized with them.
	Inject []Injection `json:"inject" yaml:"inject"`
	// Probe is the request that tells whether they work, before they are kept and
	// again when the service refuses them.
	Probe KeyProbe `json:"probe" yaml:"probe"`
}

// A KeyField is one thing to enter.
type KeyField struct {
	Name  string `json:"name" yaml:"name"`   // "apiKey"
	Label string `json:"label" yaml:"label"` // shown to people: "API key"
	// Help says in one sentence what is meant, and HelpURL where it is found.
	Help    string `json:"help,omitempty" yaml:"help"`
	HelpURL string `json:"helpUrl,omitempty" yaml:"helpUrl"`
	// Secret is false for what may be shown, such as a subdomain.
	Secret bool `json:"secret,omitempty" yaml:"secret"`
	// Pattern is a regular expression (RE2) for the whole value. Empty: any.
	Pattern string `json:"pattern,omitempty" yaml:"pattern"`
}

// An Injection is one place in a request that a credential goes to: a header, a
// query parameter, or the header Authorization in the form of HTTP basic
// authentication (RFC 7617). What a request has there already is replaced.
type Injection struct {
	Header string `json:"header,omitempty" yaml:"header"` // its name
	Query  string `json:"query,omitempty" yaml:"query"`   // the parameter's name
	Value  string `json:"value,omitempty" yaml:"value"`   // template, for Header and Query: "Bearer {apiKey}"
	// Username and Password are templates, for basic authentication.
	Username string `json:"username,omitempty" yaml:"username"`
	Password string `json:"password,omitempty" yaml:"password"`
}

// A KeyProbe is a request that changes nothing and needs a valid credential.
type KeyProbe struct {
	Method string `json:"method,omitempty" yaml:"method"` // default GET
	// URL is a template in host and path, of fields that are not secret. Its host
	// is one of the provider's.
	URL     string            `json:"url" yaml:"url"`
	Headers map[string]string `json:"headers,omitempty" yaml:"headers"` // beside the credential
	// Status is the answer to a valid credential. Default 200.
	Status int `json:"status,omitempty" yaml:"status"`
	// RejectedStatus lists further answers, beside 401 and 403, that mean that the
	// credential is refused.
	RejectedStatus []int `json:"rejectedStatus,omitempty" yaml:"rejectedStatus"`
	// AccountID and AccountLabel are dotted paths, tried in order, into the answer.
	// With AccountID, an answer that names nobody is a refusal: some services answer
	// 200 to a stranger.
	AccountID    []string `json:"accountId,omitempty" yaml:"accountId"`
	AccountLabel []string `json:"accountLabel,omitempty" yaml:"accountLabel"`
}

// Field returns the field with the name.
func (k KeyAuth) Field(name string) (KeyField, bool) {
	i := slices.IndexFunc(k.Fields, func(f KeyField) bool { return f.Name == name })
	if i < 0 {
		return KeyField{}, false
	}
	return k.Fields[i], true
}

// Authorize adds the credential to r, whose destination the caller has checked.
// Whatever r has where the credential goes is dropped, and so is any Authorization
// header. It fails with [ErrUnsealable], and leaves r as it was, if a field is
// missing that the provider's entry asks for.
//
// A credential in the query shows in r.URL, which package net/http quotes in
// errors: send a copy, as [Access.Transport] does.
func (k KeyAuth) Authorize(r *http.Request, fields map[string]Secret) error {
	values := make([]string, 2*len(k.Inject))
	for i, in := range k.Inject {
		first, second := in.Value, ""
		if in.basic() {
			first, second = in.Username, in.Password
		}
		var err error
		if values[2*i], err = expand(first, fields); err != nil {
			return err
		}
		if values[2*i+1], err = expand(second, fields); err != nil {
			return err
		}
	}
	r.Header.Del("Authorization")
	for i, in := range k.Inject {
		switch {
		case in.Header != "":
			r.Header.Set(in.Header, values[2*i])
		case in.Query != "":
			u := *r.URL
			u.RawQuery = withParameter(u.RawQuery, in.Query, values[2*i])
			r.URL = &u
		default:
			r.SetBasicAuth(values[2*i], values[2*i+1])
		}
	}
	return nil
}

func (in Injection) basic() bool { return in.Header == "" && in.Query == "" }

// withParameter sets a parameter of a query and leaves the others as they are
// written. What cannot be read as a name and a value is dropped, since a service
// might read the parameter into it.
func withParameter(query, name, value string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		text, err := url.QueryUnescape(pair)
		key, _, _ := strings.Cut(text, "=")
		if pair == "" || err != nil || strings.Contains(pair, ";") || strings.EqualFold(key, name) {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
}

// expand fills in a template.
func expand(template string, fields map[string]Secret) (string, error) {
	var out strings.Builder
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		out.WriteString(before)
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		value, ok := fields[name]
		if !ok {
			return "", fmt.Errorf("a field is missing in the credential: %w", ErrUnsealable)
		}
		out.WriteString(value.Reveal())
		template = after
	}
	return out.String(), nil
}

// ProbeURL returns where the probe goes for the fields. It fails with a
// [FieldError] if a field does not fit into a host name.
func (k KeyAuth) ProbeURL(fields map[string]Secret) (*url.URL, error) {
	scheme, rest, _ := strings.Cut(k.Probe.URL, "://")
	host, path, found := strings.Cut(rest, "/")
	host, err := expandHost(host, fields)
	if err != nil {
		return nil, err
	}
	escaped := make(map[string]Secret, len(fields))
	for name, value := range fields {
		segment := value.Reveal()
		if strings.Contains(path, "{"+name+"}") && (segment == "." || segment == "..") {
			return nil, invalid(name, "must be a name")
		}
		escaped[name] = NewSecret(url.PathEscape(segment))
	}
	if path, err = expand(path, escaped); err != nil {
		return nil, err
	}
	if found {
		path = "/" + path
	}
	u, err := url.Parse(scheme + "://" + host + path)
	if err != nil {
		return nil, invalid("probe.url", "must be a URL")
	}
	return u, nil
}

// expandHost fills in the template of a host, "{subdomain}.example.com". A value
// is one label of a host name (RFC 1123 §2.1), so that no field leads elsewhere.
func expandHost(host string, fields map[string]Secret) (string, error) {
	name, rest, found := strings.Cut(strings.TrimPrefix(host, "{"), "}")
	if !found || !strings.HasPrefix(host, "{") {
		return host, nil
	}
	label := strings.ToLower(fields[name].Reveal())
	if !isLabel(label) || !strings.HasPrefix(rest, ".") {
		return "", invalid(name, "must be one part of a host name: letters, digits and hyphens")
	}
	return label + rest, nil
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// forCredential returns p with the hosts that the fields choose. A host that they
// do not fit into is left out.
func (p Provider) forCredential(fields map[string]Secret) Provider {
	if !slices.ContainsFunc(p.Hosts, func(h string) bool { return strings.HasPrefix(h, "{") }) {
		return p
	}
	var hosts []string
	for _, host := range p.Hosts {
		if expanded, err := expandHost(host, fields); err == nil {
			hosts = append(hosts, expanded)
		}
	}
	p.Hosts = hosts
	return p
}
