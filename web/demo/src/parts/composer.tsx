import type { ListedMessage } from "@parlour/client";
import { useLayoutEffect, useRef, useState, type KeyboardEvent, type RefObject } from "react";
import { COARSE } from "../hooks/use_media.js";
import styles from "./composer.module.css";
import { EmojiPicker } from "./emoji_picker.js";
import { Icon } from "./icon.js";
import { IconButton } from "./icon_button.js";

/** What each user began to write in each channel, for as long as the page lives. */
const drafts = new Map<string, string>();

interface Props {
  /** Names the user and the channel: what one has begun is no business of the next one at this page. */
  draftKey: string;
  title: string;
  /** The message whose text is being changed, in place of a new one. */
  editing: ListedMessage | undefined;
  disabled: boolean;
  onSend: (text: string) => void;
  onKeystroke: () => void;
  onPause: () => void;
  onEditLast: () => void;
  onEdited: (entry: ListedMessage, text: string) => void;
  onCancelEdit: () => void;
}

/** Where one writes. Enter sends, Shift+Enter begins a new line. */
export function Composer(props: Props) {
  const {
    draftKey,
    title,
    editing,
    disabled,
    onSend,
    onKeystroke,
    onPause,
    onEditLast,
    onEdited,
    onCancelEdit,
  } = props;
  const [text, setText] = useState(editing?.message.text ?? drafts.get(draftKey) ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  // Where the caret belongs after a change that was not typed.
  const caret = useRef<number>(undefined);
  const isEdit = editing !== undefined;

  useGrowing(field, text);
  useLayoutEffect(() => {
    const area = field.current;
    if (!area) return;
    area.setSelectionRange(area.value.length, area.value.length);
    // On a phone the keyboard would cover half of what one came to read.
    if (isEdit || !matchMedia(COARSE).matches) area.focus({ preventScroll: true });
  }, [isEdit]);

  useLayoutEffect(() => {
    if (caret.current === undefined) return;
    field.current?.setSelectionRange(caret.current, caret.current);
    caret.current = undefined;
  }, [text]);

  const change = (next: string) => {
    setText(next);
    if (isEdit) return;
    drafts.set(draftKey, next);
    if (next.trim() === "") onPause();
    else onKeystroke();
  };
  const submit = () => {
    const trimmed = text.trim();
    if (disabled) return;
    if (isEdit) {
      onEdited(editing, trimmed);
      return;
    }
    if (trimmed === "") return;
    onSend(trimmed);
    setText("");
    drafts.delete(draftKey);
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes a letter, its keys are its own.
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp" && text === "" && !isEdit) {
      event.preventDefault();
      onEditLast();
    } else if (event.key === "Escape" && isEdit) {
      event.stopPropagation();
      onCancelEdit();
    }
  };

  const insert = (emoji: string) => {
    const { selectionStart, selectionEnd } = field.current ?? {
      selectionStart: text.length,
      selectionEnd: text.length,
    };
    caret.current = selectionStart + emoji.length;
    change(text.slice(0, selectionStart) + emoji + text.slice(selectionEnd));
  };

  const name = isEdit ? "Edit message" : "Message";
  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {isEdit && (
        <div className={styles.editing}>
          <Icon name="edit" size={15} />
          <span>Editing a message</span>
          <IconButton label="Cancel editing" icon="close" size={16} onClick={onCancelEdit} />
        </div>
      )}
      <div className={styles.box}>
        <textarea
          ref={field}
          className={styles.field}
          aria-label={name}
          placeholder={isEdit ? "" : `Message ${title}`}
          rows={1}
          value={text}
          enterKeyHint="send"
          onChange={(event) => change(event.target.value)}
          onKeyDown={onKeyDown}
          onBlur={isEdit ? undefined : onPause}
        />
        <EmojiPicker onPick={insert} onClose={() => field.current?.focus()} />
        <button
          type="submit"
          className={styles.send}
          aria-label={isEdit ? "Save" : "Send message"}
          title={isEdit ? "Save" : "Send message"}
          disabled={disabled || (text.trim() === "" && !isEdit)}
          // The field keeps the focus, and a phone its keyboard.
          onPointerDown={(event) => event.preventDefault()}
        >
          <Icon name={isEdit ? "check" : "send"} size={20} />
        </button>
      </div>
    </form>
  );
}

/** Lets the field grow with its text where the browser does not do so by itself. */
function useGrowing(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    const area = field.current;
    if (!area || CSS.supports("field-sizing", "content")) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [field, text]);
}
