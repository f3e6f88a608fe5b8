package pages

// scopeText says in plain words what a scope of a service allows; empty if there
// are none for it: then its name stands alone, and the service's own page explains
// it.
func scopeText(service, scope string) string {
	switch scope { // OpenID Connect Core 1.0 §5.4 and §11
	case "openid":
		return "Know which account it is"
	case "profile":
		return "See your name and picture"
	case "email":
		return "See your e-mail address"
	case "offline_access":
		return "Stay connected while you are away"
	}
	switch service {
	case "github":
		return githubScope(scope)
	case "google":
		return googleScope(scope)
	case "slack":
		return slackScope(scope)
	case "atlassian":
		return atlassianScope(scope)
	}
	return ""
}

func githubScope(scope string) string {
	switch scope {
	case "repo":
		return "Read and change public and private repositories"
	case "public_repo":
		return "Read and change your public repositories"
	case "read:user":
		return "Read your profile"
	case "user":
		return "Read and change your profile"
	case "user:email":
		return "See your e-mail addresses"
	case "read:org":
		return "See your organizations and teams"
	case "gist":
		return "Create and change gists"
	case "workflow":
		return "Change workflow files of your repositories"
	case "notifications":
		return "Read and mark your notifications"
	case "delete_repo":
		return "Delete repositories"
	}
	return ""
}

func googleScope(scope string) string {
	switch scope {
	case "https://www.googleapis.com/auth/userinfo.email":
		return "See your e-mail address"
	case "https://www.googleapis.com/auth/userinfo.profile":
		return "See your name and picture"
	case "https://mail.google.com/":
		return "Read, write, send and delete your e-mail"
	case "https://www.googleapis.com/auth/gmail.readonly":
		return "Read your e-mail"
	case "https://www.googleapis.com/auth/gmail.send":
		return "Send e-mail as you"
	case "https://www.googleapis.com/auth/gmail.modify":
		return "Read, write and send your e-mail"
	case "https://www.googleapis.com/auth/calendar":
		return "See, change, share and delete your calendars"
	case "https://www.googleapis.com/auth/calendar.readonly":
		return "See your calendars"
	case "https://www.googleapis.com/auth/calendar.events":
		return "See and change the events of your calendars"
	case "https://www.googleapis.com/auth/drive":
		return "See, change and delete all of your Drive files"
	case "https://www.googleapis.com/auth/drive.readonly":
		return "See all of your Drive files"
	case "https://www.googleapis.com/auth/drive.file":
		return "See and change the Drive files that you open with it"
	case "https://www.googleapis.com/auth/spreadsheets":
		return "See, change and delete your spreadsheets"
	case "https://www.googleapis.com/auth/spreadsheets.readonly":
		return "See your spreadsheets"
	}
	return ""
}

func slackScope(scope string) string {
	switch scope {
	case "chat:write":
		return "Send messages"
	case "channels:read":
		return "See public channels and their details"
	case "channels:history":
		return "Read the messages of public channels"
	case "groups:history":
		return "Read the messages of private channels that you are in"
	case "im:history":
		return "Read your direct messages"
	case "search:read":
		return "Search the workspace"
	case "users:read":
		return "See the people of the workspace"
	case "files:read":
		return "See files that were shared"
	}
	return ""
}

func atlassianScope(scope string) string {
	switch scope {
	case "read:me":
		return "Read your profile"
	case "read:jira-work":
		return "Read Jira projects and issues"
	case "write:jira-work":
		return "Create and change Jira issues"
	case "read:jira-user":
		return "See the people in Jira"
	}
	return ""
}
