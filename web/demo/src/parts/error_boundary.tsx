import { Component, type ReactNode } from "react";

interface Props {
  children: ReactNode;
  /** What is shown in place of what cannot be drawn. */
  fallback: (error: unknown) => ReactNode;
}

/** Holds an error where it happened: one thing that cannot be drawn must not take the page with it. */
export class ErrorBoundary extends Component<Props, { failed: boolean; error: unknown }> {
  override state = { failed: false, error: undefined };

  static getDerivedStateFromError(error: unknown) {
    return { failed: true, error };
  }

  override render(): ReactNode {
    return this.state.failed ? this.props.fallback(this.state.error) : this.props.children;
  }
}
