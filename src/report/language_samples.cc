#include "report/language_samples.h"

namespace duet {
namespace {

// "Every person needs clean water and fresh bread. In the morning the children go to school and learn to read. In the
// evening we sit together and tell old stories."
constexpr LanguageSample kSamples[] = {
    {"en", "English",
     "Every person needs clean water and fresh bread. In the morning the children go to school and learn to read. In "
     "the evening we sit together and tell old stories."},
    {"de", "German",
     "Jeder Mensch braucht sauberes Wasser und frisches Brot. Am Morgen gehen die Kinder zur Schule und lernen lesen. "
     "Am Abend sitzen wir zusammen und erzählen alte Geschichten."},
    {"nl", "Dutch",
     "Ieder mens heeft schoon water en vers brood nodig. 's Morgens gaan de kinderen naar school en leren ze lezen. "
     "'s Avonds zitten we samen en vertellen we oude verhalen."},
    {"af", "Afrikaans",
     "Elke mens het skoon water en vars brood nodig. In die oggend gaan die kinders skool toe en leer lees. In die "
     "aand sit ons bymekaar en vertel ou stories."},
    {"sv", "Swedish",
     "Varje människa behöver rent vatten och färskt bröd. På morgonen går barnen till skolan och lär sig läsa. På "
     "kvällen sitter vi tillsammans och berättar gamla historier."},
    {"da", "Danish",
     "Ethvert menneske har brug for rent vand og frisk brød. Om morgenen går børnene i skole og lærer at læse. Om "
     "aftenen sidder vi sammen og fortæller gamle historier."},
    {"nb", "Norwegian",
     "Ethvert menneske trenger rent vann og ferskt brød. Om morgenen går barna på skolen og lærer å lese. Om kvelden "
     "sitter vi sammen og forteller gamle historier."},
    {"is", "Icelandic",
     "Sérhver maður þarf hreint vatn og nýtt brauð. Á morgnana fara börnin í skólann og læra að lesa. Á kvöldin "
     "sitjum við saman og segjum gamlar sögur."},
    {"fr", "French",
     "Chaque personne a besoin d'eau propre et de pain frais. Le matin, les enfants vont à l'école et apprennent à "
     "lire. Le soir, nous nous asseyons ensemble et racontons de vieilles histoires."},
    {"es", "Spanish",
     "Toda persona necesita agua limpia y pan fresco. Por la mañana los niños van a la escuela y aprenden a leer. Por "
     "la noche nos sentamos juntos y contamos viejas historias."},
    {"pt", "Portuguese",
     "Toda pessoa precisa de água limpa e pão fresco. De manhã as crianças vão à escola e aprendem a ler. À noite "
     "sentamo-nos juntos e contamos velhas histórias."},
    {"it", "Italian",
     "Ogni persona ha bisogno di acqua pulita e pane fresco. La mattina i bambini vanno a scuola e imparano a "
     "leggere. La sera ci sediamo insieme e raccontiamo vecchie storie."},
    {"ca", "Catalan",
     "Tota persona necessita aigua neta i pa fresc. Al matí els nens van a l'escola i aprenen a llegir. Al vespre "
     "seiem junts i expliquem velles històries."},
    {"ro", "Romanian",
     "Fiecare om are nevoie de apă curată și de pâine proaspătă. Dimineața copiii merg la școală și învață să "
     "citească. Seara stăm împreună și spunem povești vechi."},
    {"eu", "Basque",
     "Pertsona guztiek ur garbia eta ogi freskoa behar dituzte. Goizean haurrak eskolara joaten dira eta irakurtzen "
     "ikasten dute. Iluntzean elkarrekin esertzen gara eta istorio zaharrak kontatzen ditugu."},
    {"ga", "Irish",
     "Tá uisce glan agus arán úr ag teastáil ó gach duine. Ar maidin téann na páistí ar scoil agus foghlaimíonn siad "
     "léamh. Sa tráthnóna suímid le chéile agus insímid seanscéalta."},
    {"cy", "Welsh",
     "Mae angen dŵr glân a bara ffres ar bawb. Yn y bore mae'r plant yn mynd i'r ysgol ac yn dysgu darllen. Gyda'r "
     "nos rydyn ni'n eistedd gyda'n gilydd ac yn adrodd hen straeon."},
    {"pl", "Polish",
     "Każdy człowiek potrzebuje czystej wody i świeżego chleba. Rano dzieci idą do szkoły i uczą się czytać. "
     "Wieczorem siedzimy razem i opowiadamy stare historie."},
    {"cs", "Czech",
     "Každý člověk potřebuje čistou vodu a čerstvý chléb. Ráno chodí děti do školy a učí se číst. Večer sedíme spolu "
     "a vyprávíme staré příběhy."},
    {"sk", "Slovak",
     "Každý človek potrebuje čistú vodu a čerstvý chlieb. Ráno chodia deti do školy a učia sa čítať. Večer sedíme "
     "spolu a rozprávame staré príbehy."},
    {"sl", "Slovenian",
     "Vsak človek potrebuje čisto vodo in svež kruh. Zjutraj gredo otroci v šolo in se učijo brati. Zvečer sedimo "
     "skupaj in pripovedujemo stare zgodbe."},
    {"hr", "Croatian",
     "Svaki čovjek treba čistu vodu i svjež kruh. Ujutro djeca idu u školu i uče čitati. Navečer sjedimo zajedno i "
     "pričamo stare priče."},
    {"sr", "Serbian",
     "Сваком човеку треба чиста вода и свеж хлеб. Ујутру деца иду у школу и уче да читају. Увече седимо заједно и "
     "причамо старе приче."},
    {"bg", "Bulgarian",
     "Всеки човек има нужда от чиста вода и пресен хляб. Сутрин децата отиват на училище и се учат да четат. Вечер "
     "седим заедно и разказваме стари истории."},
    {"ru", "Russian",
     "Каждому человеку нужны чистая вода и свежий хлеб. Утром дети идут в школу и учатся читать. Вечером мы сидим "
     "вместе и рассказываем старые истории."},
    {"uk", "Ukrainian",
     "Кожній людині потрібні чиста вода і свіжий хліб. Вранці діти йдуть до школи і вчаться читати. Увечері ми "
     "сидимо разом і розповідаємо старі історії."},
    {"be", "Belarusian",
     "Кожнаму чалавеку патрэбны чыстая вада і свежы хлеб. Раніцай дзеці ідуць у школу і вучацца чытаць. Увечары мы "
     "сядзім разам і расказваем старыя гісторыі."},
    {"lt", "Lithuanian",
     "Kiekvienam žmogui reikia švaraus vandens ir šviežios duonos. Rytą vaikai eina į mokyklą ir mokosi skaityti. "
     "Vakare mes sėdime kartu ir pasakojame senas istorijas."},
    {"lv", "Latvian",
     "Katram cilvēkam vajag tīru ūdeni un svaigu maizi. No rīta bērni iet uz skolu un mācās lasīt. Vakarā mēs sēžam "
     "kopā un stāstām senus stāstus."},
    {"et", "Estonian",
     "Iga inimene vajab puhast vett ja värsket leiba. Hommikul lähevad lapsed kooli ja õpivad lugema. Õhtul istume "
     "koos ja räägime vanu lugusid."},
    {"fi", "Finnish",
     "Jokainen ihminen tarvitsee puhdasta vettä ja tuoretta leipää. Aamulla lapset menevät kouluun ja oppivat "
     "lukemaan. Illalla istumme yhdessä ja kerromme vanhoja tarinoita."},
    {"hu", "Hungarian",
     "Minden embernek szüksége van tiszta vízre és friss kenyérre. Reggel a gyerekek iskolába mennek és olvasni "
     "tanulnak. Este együtt ülünk és régi történeteket mesélünk."},
    {"el", "Greek",
     "Κάθε άνθρωπος χρειάζεται καθαρό νερό και φρέσκο ψωμί. Το πρωί τα παιδιά πηγαίνουν στο σχολείο και μαθαίνουν να "
     "διαβάζουν. Το βράδυ καθόμαστε μαζί και λέμε παλιές ιστορίες."},
    {"tr", "Turkish",
     "Her insanın temiz suya ve taze ekmeğe ihtiyacı vardır. Sabah çocuklar okula gider ve okumayı öğrenir. Akşam "
     "birlikte oturur ve eski hikâyeler anlatırız."},
    {"az", "Azerbaijani",
     "Hər bir insana təmiz su və təzə çörək lazımdır. Səhər uşaqlar məktəbə gedir və oxumağı öyrənir. Axşam birlikdə "
     "oturur və köhnə nağıllar danışırıq."},
    {"kk", "Kazakh",
     "Әр адамға таза су мен жаңа нан керек. Таңертең балалар мектепке барып, оқуды үйренеді. Кешке біз бірге отырып, "
     "ескі әңгімелер айтамыз."},
    {"mn", "Mongolian",
     "Хүн бүрт цэвэр ус, шинэ талх хэрэгтэй. Өглөө хүүхдүүд сургуульдаа явж, уншиж сурдаг. Орой бид хамтдаа сууж, "
     "эртний түүх ярьдаг."},
    {"ka", "Georgian",
     "ყველა ადამიანს სჭირდება სუფთა წყალი და ახალი პური. დილით ბავშვები სკოლაში მიდიან და კითხვას სწავლობენ. საღამოს "
     "ერთად ვსხედვართ და ძველ ამბებს ვყვებით."},
    {"hy", "Armenian",
     "Յուրաքանչյուր մարդու պետք է մաքուր ջուր և թարմ հաց: Առավոտյան երեխաները գնում են դպրոց և սովորում կարդալ: "
     "Երեկոյան մենք նստում ենք միասին և պատմում հին պատմություններ:"},
    {"he", "Hebrew",
     "כל אדם צריך מים נקיים ולחם טרי. בבוקר הילדים הולכים לבית הספר ולומדים לקרוא. בערב אנחנו יושבים יחד ומספרים "
     "סיפורים ישנים."},
    {"ar", "Arabic",
     "يحتاج كل إنسان إلى ماء نظيف وخبز طازج. في الصباح يذهب الأطفال إلى المدرسة ويتعلمون القراءة. في المساء نجلس معا "
     "ونحكي قصصا قديمة."},
    {"fa", "Persian",
     "هر انسانی به آب تمیز و نان تازه نیاز دارد. صبح بچه‌ها به مدرسه می‌روند و خواندن یاد می‌گیرند. عصر با هم می‌نشینیم و "
     "داستان‌های قدیمی تعریف می‌کنیم."},
    {"ur", "Urdu",
     "ہر انسان کو صاف پانی اور تازہ روٹی کی ضرورت ہے۔ صبح بچے اسکول جاتے ہیں اور پڑھنا سیکھتے ہیں۔ شام کو ہم اکٹھے "
     "بیٹھتے ہیں اور پرانی کہانیاں سناتے ہیں۔"},
    {"hi", "Hindi",
     "हर इंसान को साफ़ पानी और ताज़ी रोटी चाहिए। सुबह बच्चे स्कूल जाते हैं और पढ़ना सीखते हैं। शाम को हम साथ बैठते हैं और पुरानी "
     "कहानियाँ सुनाते हैं।"},
    {"mr", "Marathi",
     "प्रत्येक माणसाला स्वच्छ पाणी आणि ताजी भाकरी हवी असते. सकाळी मुले शाळेत जातात आणि वाचायला शिकतात. संध्याकाळी आपण "
     "एकत्र बसतो आणि जुन्या गोष्टी सांगतो."},
    {"ne", "Nepali",
     "हरेक मानिसलाई सफा पानी र ताजा रोटी चाहिन्छ। बिहान बालबालिका विद्यालय जान्छन् र पढ्न सिक्छन्। साँझ हामी सँगै बस्छौं र पुराना "
     "कथाहरू भन्छौं।"},
    {"bn", "Bengali",
     "প্রত্যেক মানুষের পরিষ্কার জল ও তাজা রুটি দরকার। সকালে শিশুরা স্কুলে যায় এবং পড়তে শেখে। সন্ধ্যায় আমরা একসঙ্গে বসি এবং "
     "পুরানো গল্প বলি।"},
    {"pa", "Punjabi",
     "ਹਰ ਮਨੁੱਖ ਨੂੰ ਸਾਫ਼ ਪਾਣੀ ਅਤੇ ਤਾਜ਼ੀ ਰੋਟੀ ਚਾਹੀਦੀ ਹੈ। ਸਵੇਰੇ ਬੱਚੇ ਸਕੂਲ ਜਾਂਦੇ ਹਨ ਅਤੇ ਪੜ੍ਹਨਾ ਸਿੱਖਦੇ ਹਨ। ਸ਼ਾਮ ਨੂੰ ਅਸੀਂ ਇਕੱਠੇ ਬੈਠਦੇ ਹਾਂ "
     "ਅਤੇ ਪੁਰਾਣੀਆਂ ਕਹਾਣੀਆਂ ਸੁਣਾਉਂਦੇ ਹਾਂ।"},
    {"gu", "Gujarati",
     "દરેક માણસને ચોખ્ખું પાણી અને તાજી રોટલી જોઈએ. સવારે બાળકો શાળાએ જાય છે અને વાંચતાં શીખે છે. સાંજે આપણે સાથે બેસીએ છીએ અને જૂની "
     "વાર્તાઓ કહીએ છીએ."},
    {"ta", "Tamil",
     "ஒவ்வொரு மனிதனுக்கும் சுத்தமான தண்ணீரும் புதிய ரொட்டியும் தேவை. காலையில் குழந்தைகள் பள்ளிக்குச் சென்று படிக்கக் "
     "கற்றுக்கொள்கிறார்கள். மாலையில் நாங்கள் ஒன்றாக உட்கார்ந்து பழைய கதைகளைச் சொல்கிறோம்."},
    {"te", "Telugu",
     "ప్రతి మనిషికి శుభ్రమైన నీరు మరియు తాజా రొట్టె అవసరం. ఉదయం పిల్లలు బడికి వెళ్లి చదవడం నేర్చుకుంటారు. సాయంత్రం మేము కలిసి "
     "కూర్చుని పాత కథలు చెప్పుకుంటాము."},
    {"kn", "Kannada",
     "ಪ್ರತಿಯೊಬ್ಬ ಮನುಷ್ಯನಿಗೂ ಶುದ್ಧ ನೀರು ಮತ್ತು ತಾಜಾ ರೊಟ್ಟಿ ಬೇಕು. ಬೆಳಿಗ್ಗೆ ಮಕ್ಕಳು ಶಾಲೆಗೆ ಹೋಗಿ ಓದಲು ಕಲಿಯುತ್ತಾರೆ. ಸಂಜೆ ನಾವು "
     "ಒಟ್ಟಿಗೆ ಕುಳಿತು ಹಳೆಯ ಕಥೆಗಳನ್ನು ಹೇಳುತ್ತೇವೆ."},
    {"ml", "Malayalam",
     "ഓരോ മനുഷ്യനും ശുദ്ധജലവും പുതിയ റൊട്ടിയും വേണം. രാവിലെ കുട്ടികൾ സ്കൂളിൽ പോയി വായിക്കാൻ പഠിക്കുന്നു. വൈകുന്നേരം ഞങ്ങൾ "
     "ഒരുമിച്ചിരുന്ന് പഴയ കഥകൾ പറയുന്നു."},
    {"si", "Sinhala",
     "සෑම මිනිසෙකුටම පිරිසිදු ජලය සහ නැවුම් පාන් අවශ්‍යයි. උදේ ළමයි පාසලට ගොස් කියවන්න ඉගෙන ගනිති. සවස අපි එකට වාඩි වී පැරණි "
     "කතා කියමු."},
    {"th", "Thai", "ทุกคนต้องการน้ำสะอาดและขนมปังสดใหม่ ตอนเช้าเด็กๆ ไปโรงเรียนและเรียนรู้ที่จะอ่าน ตอนเย็นเรานั่งด้วยกันและเล่าเรื่องเก่าๆ"},
    {"lo", "Lao", "ທຸກຄົນຕ້ອງການນ້ຳສະອາດ ແລະ ເຂົ້າຈີ່ສົດ. ຕອນເຊົ້າເດັກນ້ອຍໄປໂຮງຮຽນ ແລະ ຮຽນອ່ານ. ຕອນແລງພວກເຮົານັ່ງນຳກັນ ແລະ ເລົ່າເລື່ອງເກົ່າ."},
    {"my", "Burmese",
     "လူတိုင်း ရေသန့်နှင့် ပေါင်မုန့်အသစ် လိုအပ်သည်။ မနက်တွင် ကလေးများ ကျောင်းသို့သွားပြီး စာဖတ်ရန် သင်ယူကြသည်။ ညနေတွင် ကျွန်ုပ်တို့ "
     "အတူထိုင်ပြီး ရှေးပုံပြင်များ ပြောကြသည်။"},
    {"km", "Khmer",
     "មនុស្សគ្រប់រូបត្រូវការទឹកស្អាត និងនំប៉័ងថ្មី។ ពេលព្រឹកក្មេងៗទៅសាលារៀន ហើយរៀនអាន។ ពេលល្ងាចយើងអង្គុយជាមួយគ្នា ហើយនិទានរឿងចាស់ៗ។"},
    {"vi", "Vietnamese",
     "Mỗi người đều cần nước sạch và bánh mì mới. Buổi sáng trẻ em đến trường và học đọc. Buổi tối chúng tôi ngồi bên "
     "nhau và kể những câu chuyện xưa."},
    {"id", "Indonesian",
     "Setiap orang membutuhkan air bersih dan roti segar. Pada pagi hari anak-anak pergi ke sekolah dan belajar "
     "membaca. Pada malam hari kami duduk bersama dan menceritakan kisah lama."},
    {"tl", "Tagalog",
     "Bawat tao ay nangangailangan ng malinis na tubig at sariwang tinapay. Sa umaga ang mga bata ay pumapasok sa "
     "paaralan at natututong bumasa. Sa gabi ay magkakasama kaming nakaupo at nagkukuwento ng mga lumang kuwento."},
    {"sw", "Swahili",
     "Kila mtu anahitaji maji safi na mkate mpya. Asubuhi watoto huenda shuleni na kujifunza kusoma. Jioni tunakaa "
     "pamoja na kusimulia hadithi za zamani."},
    {"am", "Amharic",
     "ሁሉም ሰው ንጹህ ውሃ እና ትኩስ ዳቦ ያስፈልገዋል። ጠዋት ልጆች ወደ ትምህርት ቤት ሄደው ማንበብ ይማራሉ። ማታ አብረን ተቀምጠን የድሮ ታሪኮችን እንናገራለን።"},
    {"zh-Hans", "Chinese, simplified",
     "每个人都需要干净的水和新鲜的面包。早上孩子们去上学，学习读书。晚上我们坐在一起，讲古老的故事。"},
    {"zh-Hant", "Chinese, traditional",
     "每個人都需要乾淨的水和新鮮的麵包。早上孩子們去上學，學習讀書。晚上我們坐在一起，講古老的故事。"},
    {"ja", "Japanese",
     "人はだれでもきれいな水と焼きたてのパンを必要とします。朝、子どもたちは学校へ行き、読むことを学びます。夜、私たちは一緒に座って昔の話をします。"},
    {"ko", "Korean",
     "모든 사람에게는 깨끗한 물과 갓 구운 빵이 필요합니다. 아침에 아이들은 학교에 가서 읽기를 배웁니다. 저녁에 우리는 함께 앉아 옛날 "
     "이야기를 합니다."},
};

}  // namespace

std::span<const LanguageSample> language_samples() { return kSamples; }

}  // namespace duet
