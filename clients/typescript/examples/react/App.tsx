// A small chat in React: the channel `messaging:general`, live.

// quickstart: begin
import { ParlourProvider, useChannel, useMessages } from "@parlour/react";
import type { FormEvent } from "react";

function Chat() {
  const { channel } = useChannel("messaging:general");
  const { messages } = useMessages(channel);
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void channel?.send(String(new FormData(event.currentTarget).get("text")));
    event.currentTarget.reset();
  };
  return (
    <form onSubmit={send}>
      {messages.map(({ id, message, status }) => (
        <p key={id} className={status}>{`${message.user.id}: ${message.text}`}</p>
      ))}
      <input name="text" aria-label="Message" />
    </form>
  );
}

export function App(props: { url: string; appKey: string; user: string; token: () => Promise<string> }) {
  return (
    <ParlourProvider {...props}>
      <Chat />
    </ParlourProvider>
  );
}
// quickstart: end
