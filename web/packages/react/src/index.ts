export { ConnectionsList, type ConnectionsListProps } from "./ConnectionsList.js";
export { TokenVaultProvider, type TokenVaultProviderProps } from "./context.js";
export { OAuthConfigForm, type OAuthConfigFormProps, type OAuthConfigValues } from "./OAuthConfigForm.js";
export { en, type Strings } from "./strings.js";
export { TokenVaultAuth, type TokenVaultAuthProps } from "./TokenVaultAuth.js";
export { type UseConnectOptions, useConnect } from "./useConnect.js";
export { type Connections, useConnections, useCredentials } from "./useConnections.js";
export { type UseTokenVaultAuthOptions, useTokenVaultAuth } from "./useTokenVaultAuth.js";
