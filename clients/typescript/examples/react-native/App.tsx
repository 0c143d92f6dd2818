// A small chat in React Native. The same hooks as in a page; nothing has to be installed beside them.

// quickstart: begin
import { reactNative } from "@parlour/client/react-native";
import { ParlourProvider, useChannel, useConnection, useMessages } from "@parlour/react";
import { useState } from "react";
import { AppState, FlatList, Text, TextInput, View } from "react-native";

const platform = reactNative({ AppState });

function Chat() {
  const { uiStatus } = useConnection();
  const { channel } = useChannel("messaging:general");
  const { messages } = useMessages(channel);
  const [text, setText] = useState("");
  const send = () => {
    void channel?.send(text);
    setText("");
  };
  return (
    <View>
      {uiStatus !== "online" && <Text>{uiStatus}</Text>}
      <FlatList
        data={[...messages].reverse()}
        inverted
        keyExtractor={({ id }) => id}
        renderItem={({ item: { message } }) => <Text>{`${message.user.id}: ${message.text}`}</Text>}
        onEndReached={() => void channel?.loadOlder()}
      />
      <TextInput value={text} onChangeText={setText} onSubmitEditing={send} />
    </View>
  );
}

export function App(props: { url: string; appKey: string; user: string; token: () => Promise<string> }) {
  return (
    <ParlourProvider {...props} platform={platform}>
      <Chat />
    </ParlourProvider>
  );
}
// quickstart: end
