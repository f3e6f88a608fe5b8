import { useState } from "react";

/** The bank sends a code to its customer's phone: this stands for that phone. */
export function Phone() {
  const [code, setCode] = useState("");
  const look = async () => {
    const response = await fetch("/phone").catch(() => undefined);
    setCode(response?.ok ? await response.text() : "No network");
  };
  return (
    <aside className="phone" aria-label="Your phone">
      <p>
        This bank is made up: copy your name and password there from the terminal that runs the demo. It sends
        a code to your phone.
      </p>
      <button type="button" onClick={() => void look()}>
        Look at your phone
      </button>
      <output>{code}</output>
    </aside>
  );
}
