package pages

import (
	"cmp"
	"net/url"
	"slices"
	"time"
	"unicode"

	"github.com/ai-token-vault/tokenvault"
)

// What the script is asked to tell the window that opened the page.
const (
	tellComplete = "token-vault:auth-complete"
	tellError    = "token-vault:auth-error"
)

// frame is what every page has.
type frame struct {
	Heading string
	Tone    string // "ask", "done" or "stop": the colour of the page
	Tell    tell
}

// tell is what the script is given, in data attributes. Remember makes it know
// the result page of the same request again in this window; Close lets it close
// the window.
type tell struct {
	Type, ProviderID, RequestID, Status, Error string
	Origins                                    string // separated by spaces
	Remember, Close                            bool
}

// Brand and the rest below are for the templates.
func (frame) Brand() string  { return textBrand }
func (frame) Footer() string { return textFooter }

// A fact is one line of what is asked. Foreign marks text that is not ours.
// Durations are for the person to choose from.
type fact struct {
	Label, Value, Note string
	Foreign            bool
	Time               time.Time
	Durations          []duration
}

// MachineTime is the fact's time for the datetime attribute.
func (f fact) MachineTime() string { return f.Time.UTC().Format(time.RFC3339) }

// HumanTime is the fact's time for people; the script puts it in their time zone.
func (f fact) HumanTime() string { return f.Time.UTC().Format("2 January 2006, 15:04 UTC") }

type scopeLine struct{ Plain, Raw string }

// A choice is one account. Detail is foreign text that tells it from another of
// the same name.
type choice struct{ ID, Label, Detail, Note string }

type field struct{ Name, Value string }

// A duration is how long an agent may be permitted to use a connection.
type duration struct {
	Value, Text string
	ttl         time.Duration
}

// ask is the page on which a person decides.
type ask struct {
	frame
	Alert       *message // why the last try led nowhere; nil: there was none
	Agent       string   // empty: no agent asks
	Lead, Why   string
	From, To    string // the initials of who asks and of the provider
	FactsTitle  string
	Facts       []fact
	ScopesTitle string
	Scopes      []scopeLine
	ScopesNone  string

	Action         string
	Hidden         []field
	ChoicesTitle   string
	Choices        []choice
	OtherAction    string // to connect another account; empty: not offered
	InputsTitle    string
	Inputs         []input // what to enter
	Where          string
	Other          string
	Next           string
	Submit         string
	DeclineAction  string // empty: there is nothing to decline
	Decline        string
	DeclineMeaning string
}

func (ask) templateName() string { return "ask" }

// askView shows what confirming a pending request would do.
func askView(plan tokenvault.ConnectPlan, returnTo string) ask {
	req, p := plan.Request, plan.Provider
	v := ask{
		frame: frame{Heading: askHeading(req.Reason, p.Name), Tone: "ask", Tell: tell{RequestID: req.ID, Remember: true}},
		Agent: req.AgentID, Lead: askLead(req.AgentID, req.Owner.UserID == "" || plan.Shared, p.Name), Why: askWhy(req.Reason, p.Name),
		From: initial(req.AgentID), To: initial(p.Name),
		FactsTitle: textDetails, Facts: askFacts(plan),
		ScopesTitle: scopesTitle(plan.Way != tokenvault.WayPermit, p.Name), Scopes: scopeLines(p.Service, requested(plan)), ScopesNone: scopesNone(plan.Way != tokenvault.WayPermit, p.Name),
		Next: askNext(req.Reason, p.Name), Submit: askSubmit(req.Reason, p.Name),
		DeclineAction: "/connect/" + url.PathEscape(req.ID) + "/decline",
		Decline:       textDecline, DeclineMeaning: declineMeaning(req.AgentID != ""),
	}
	if returnTo != "" {
		v.Hidden = []field{{fieldReturnTo, returnTo}}
	}
	path := "/connect/" + url.PathEscape(req.ID)
	switch plan.Way {
	case tokenvault.WayEnter:
		v.enter(plan)
		return v
	case tokenvault.WayConfirm:
		v.Action, v.Next, v.Submit = path+"/submit", confirmNext(p.Name), textSubmit
		return v
	case tokenvault.WayDevice:
		v.Action, v.Next, v.Submit = path+"/confirm", codeNext(p.Name), textGetCode
		return v
	case tokenvault.WayBrowser:
		v.Action, v.ScopesTitle, v.Next, v.Submit = path+"/confirm", "", browserNext(p.Name), textOpenBrowser
		return v
	case tokenvault.WayRedirect:
		v.Action = path + "/confirm"
		return v
	case tokenvault.WayPermit:
	}
	v.Action = path + "/permit"
	if req.Reason == tokenvault.ReasonChooseAccount {
		v.ChoicesTitle, v.Choices = textChoices, choices(plan)
		v.offerOther(req.ID)
	}
	return v
}

// offerOther adds the button that connects another account at the provider.
func (v *ask) offerOther(id string) {
	v.OtherAction, v.Other = "/connect/"+url.PathEscape(id)+"/confirm", textOther
}

// newView shows what a person is about to connect of their own accord.
func newView(p tokenvault.Provider, way tokenvault.ConnectWay, in newConnect) ask {
	reason := tokenvault.ReasonMissing
	if in.connectionID != "" {
		reason = tokenvault.ReasonExpired
	}
	v := ask{
		frame: frame{Heading: askHeading(reason, p.Name), Tone: "ask"},
		Lead:  askLead("", in.organization, p.Name), Why: p.Description, To: initial(p.Name),
		Next: askNext(reason, p.Name), Submit: askSubmit(reason, p.Name),
		Action: "/connect/new", Hidden: in.fields(), DeclineMeaning: textNothingYet,
	}
	switch way {
	case tokenvault.WayEnter:
		v.Next, v.Submit = textEnterNext, textContinue
	case tokenvault.WayConfirm:
		v.Next, v.Submit = confirmNext(p.Name), textSubmit
	case tokenvault.WayDevice:
		v.Next, v.Submit = codeNext(p.Name), textGetCode
	case tokenvault.WayBrowser:
		v.Next, v.Submit = browserNext(p.Name), textOpenBrowser
	case tokenvault.WayRedirect, tokenvault.WayPermit:
	}
	if in.organization {
		v.FactsTitle, v.Facts = textDetails, []fact{ownedByOrganization()}
	}
	return v
}

func ownedByOrganization() fact { return fact{Label: textFactOwner, Value: textOrganization} }

func askFacts(plan tokenvault.ConnectPlan) []fact {
	req := plan.Request
	var facts []fact
	if account := plan.Account.Label; account != "" {
		facts = append(facts, fact{Label: textFactAccount, Value: account, Foreign: true})
	}
	if req.Owner.UserID == "" || plan.Shared {
		facts = append(facts, ownedByOrganization())
	}
	if req.AgentID != "" {
		value, note := releaseText(req.Release, plan.Provider)
		facts = append(facts, fact{Label: textFactRelease, Value: value, Note: note}, fact{Label: textFactDuration, Durations: durations()})
	}
	return append(facts, fact{Label: textFactExpiry, Time: req.ExpiresAt})
}

// requested is what the provider will be asked for; without a redirect, what the
// agent will be allowed.
func requested(plan tokenvault.ConnectPlan) []string {
	scopes := slices.Clone(plan.Scopes)
	if plan.Way != tokenvault.WayPermit && plan.Provider.OAuth2 != nil {
		for _, always := range plan.Provider.OAuth2.AlwaysScopes {
			if !slices.Contains(scopes, always) {
				scopes = append(scopes, always)
			}
		}
	}
	return scopes
}

func scopeLines(service string, scopes []string) []scopeLine {
	lines := make([]scopeLine, 0, len(scopes))
	for _, s := range scopes {
		lines = append(lines, scopeLine{scopeText(service, s), s})
	}
	return lines
}

// calledBy returns what a connection is called: by its owner, else by the provider.
// The detail is what else tells it from others; empty: nothing has to.
func calledBy(c tokenvault.Connection) (label, detail string) {
	switch {
	case c.Name != "":
		return c.Name, cmp.Or(c.Account.Label, c.Account.ID)
	case c.Account.Label != "":
		return c.Account.Label, ""
	}
	return textUnnamedAccount, c.Account.ID
}

// choices lists accounts by what they are called. Where that does not tell two
// apart, the account's id is added.
func choices(plan tokenvault.ConnectPlan) []choice {
	seen := make(map[choice]int, len(plan.Choices))
	for _, c := range plan.Choices {
		label, detail := calledBy(c)
		seen[choice{Label: label, Detail: detail}]++
	}
	sorted := slices.SortedFunc(slices.Values(plan.Choices), func(a, b tokenvault.Connection) int {
		called := func(c tokenvault.Connection) string { return cmp.Or(c.Name, c.Account.Label) }
		return cmp.Or(cmp.Compare(called(a), called(b)), cmp.Compare(a.Account.Label, b.Account.Label), cmp.Compare(a.Account.ID, b.Account.ID))
	})
	list := make([]choice, 0, len(sorted))
	for _, c := range sorted {
		_, covers := plan.Provider.CoversScopes(c.Scopes, plan.Scopes)
		label, detail := calledBy(c)
		one := choice{ID: c.ID, Label: label, Detail: detail, Note: choiceNote(c, covers)}
		switch alike := seen[choice{Label: label, Detail: detail}] > 1; {
		case alike && detail == "":
			one.Detail = c.Account.ID
		case alike && detail != c.Account.ID:
			one.Detail += " " + c.Account.ID
		}
		list = append(list, one)
	}
	return list
}

// initial returns the first letter or digit of a name, for its badge.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}
