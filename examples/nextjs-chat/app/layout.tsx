import "@ai-token-vault/react/styles.css";
import "./chat.css";
import type { Metadata } from "next";
import { headers } from "next/headers";
import type { ReactNode } from "react";

export const metadata: Metadata = { title: "Chat" };

export default async function Layout({ children }: { children: ReactNode }) {
  await headers(); // pages are made per request: each has a nonce of its own
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
