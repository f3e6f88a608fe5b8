package pages

import "github.com/ai-token-vault/tokenvault"

// What the page of all accounts says.
const (
	textAccounts    = "Your connections"
	textMore        = "See or change what is connected and allowed"
	textConnectedAt = "Connected"
	textSharedBy    = "Shared by"
	textLastUsed    = "Last used"
	textLastUsedBy  = "Last used by"

	textRename      = "Rename"
	textAccountName = "Name"
	textNameHelp    = "For you to tell accounts apart. Leave it empty to go by the account alone."
	textSave        = "Save"

	textAgents         = "Agents that may use it"
	textAgentsNone     = "You have not allowed any agent to use it."
	textGrantedAt      = "Last allowed"
	textUntil          = "Until"
	textUntilWithdrawn = "You withdraw it"
	textMayDo          = "What it may do"
	textWithdraw       = "Withdraw"

	textReconnect = "Reconnect"
	textRevoke    = "Disconnect"

	textShare        = "Share with your organization"
	textShareMeaning = "It then belongs to your organization, and stays if you leave. Its members may let their agents use this account. " +
		"An administrator can disconnect it."
	textUnshare        = "Stop sharing"
	textUnshareMeaning = "It then belongs to who shared it again. What other members allowed their agents ends."
)

func accountsLead(count int) string {
	if count == 0 {
		return "Nothing is connected yet. When an agent needs an account, you are asked to connect it."
	}
	return "The accounts that are connected, and the agents that you allowed to use them."
}

// brokenText says what is wrong with a connection, and who can do something.
func brokenText(actor tokenvault.Actor, c tokenvault.Connection) string {
	switch {
	case c.Status != tokenvault.ConnectionNeedsReauth:
		return ""
	case c.Shared() && !actor.OrgAdmin:
		return "An administrator of your organization has to reconnect it before it can be used."
	}
	return "It has to be reconnected before it can be used."
}

func revokeMeaning(provider string, shared bool) string {
	if shared {
		return "The access to " + provider + " ends at once, for all members of your organization and their agents."
	}
	return "The access to " + provider + " ends at once, for you and for every agent."
}

func anotherText(provider string) string { return "Connect another " + provider + " account" }
