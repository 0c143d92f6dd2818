// What the example uses of React Native, so that its types are checked without an installation of it.

declare module "react-native" {
  import type { ComponentType, ReactElement, ReactNode } from "react";

  export const AppState: {
    readonly currentState: "active" | "inactive" | "background" | "unknown" | "extension";
    addEventListener(type: "change", listener: (state: string) => void): { remove(): void };
  };
  export const View: ComponentType<{ children?: ReactNode }>;
  export const Text: ComponentType<{ children?: ReactNode }>;
  export const TextInput: ComponentType<{
    value: string;
    onChangeText: (text: string) => void;
    onSubmitEditing: () => void;
  }>;
  export function FlatList<T>(props: {
    data: readonly T[];
    inverted?: boolean;
    keyExtractor: (item: T) => string;
    renderItem: (info: { item: T }) => ReactElement;
    onEndReached?: () => void;
  }): ReactElement;
}
